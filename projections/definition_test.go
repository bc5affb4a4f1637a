package projections_test

import (
	"bytes"
	"fmt"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func crd(plural, kind, more string) string {
	return fmt.Sprintf(`{"spec":{"group":"x.org","scope":"Namespaced","names":{"plural":%q,"singular":"s%s","kind":%q,"listKind":"%sList"%s},
"versions":[{"name":"v1beta1","served":true,"storage":true,"subresources":{"status":{}}},{"name":"v1","served":true},{"name":"v2","served":false}]}}`, plural, plural, kind, kind, more)
}

func definitionConditions(t *testing.T, s projections.State, k events.Key) map[apiextensionsv1.CustomResourceDefinitionConditionType]string {
	t.Helper()
	o, ok := s.Object(k, foldtest.Start)
	if !ok {
		t.Fatalf("%s is not there", k)
	}
	out := map[apiextensionsv1.CustomResourceDefinitionConditionType]string{}
	for _, c := range o.(*apiextensionsv1.CustomResourceDefinition).Status.Conditions {
		out[c.Type] = string(c.Status) + " " + c.Reason
	}
	return out
}

// An event of a resource means something while the resource is defined.
func TestObjectsOfDefinitions(t *testing.T) {
	l := foldtest.New()
	o := events.Key{Resource: "as.x.org", Namespace: "default", Name: "o"}
	raw := `{"apiVersion":"x.org/v1beta1","kind":"A","metadata":{"name":"o","labels":{"a":"b"}},"spec":{"n":9007199254740993}}`
	if l.Create(o, raw); l.State.Unknown != 1 {
		t.Fatal("an object of nothing is known")
	}
	def := events.DefinitionKey("as.x.org")
	l.Create(def, crd("as", "A", ""))
	l.Create(o, raw)
	kind, ok := l.State.KindOf("as.x.org")
	if !ok || kind.Version != "v1" || kind.Singular != "sas" || len(l.State.Kinds().Custom()) != 2 {
		t.Errorf("kind %+v of %v", kind, l.State.Kinds().Custom())
	}
	if _, ok := l.State.Kinds().For("x.org/v2", "A"); ok {
		t.Error("a version is known that nobody serves")
	}
	l.Add(events.Envelope{Subject: events.StatusSubject(o), Type: events.TypeOf(o.Resource, events.VerbStatus), Body: events.MustBody(events.StatusReported{UID: foldtest.UID(o, 1), Status: []byte(`{"seen":3}`)})})
	shown, ok := l.State.Object(o, l.Now)
	u := shown.(*unstructured.Unstructured)
	n, _, _ := unstructured.NestedInt64(u.Object, "spec", "n")
	seen, _, _ := unstructured.NestedInt64(u.Object, "status", "seen")
	if !ok || u.GetAPIVersion() != "x.org/v1" || u.GetNamespace() != "default" || u.GetGeneration() != 1 || n != 9007199254740993 || seen != 3 || u.GetUID() == "" {
		t.Errorf("shown as %v", u.Object)
	}
	if row, _ := l.State.Get(o); row.Typed().GetLabels()["a"] != "b" || row.Typed().GetObjectKind().GroupVersionKind().Version != "v1beta1" {
		t.Errorf("what was shown has changed what is kept: %v", row.Typed())
	}
	var kept bytes.Buffer
	if err := l.State.Keep(&kept); err != nil {
		t.Fatal(err)
	}
	again, err := projections.Restore(projections.KeptVersion, &kept)
	if k, ok := again.KindOf("as.x.org"); err != nil || !ok || k.Name != "A" {
		t.Errorf("a checkpoint knows %+v, %v", k, err)
	}
	l.Delete(def, foldtest.Person, 0)
	if c := definitionConditions(t, l.State, def); c[apiextensionsv1.Terminating] != "True InstanceDeletionInProgress" || c[apiextensionsv1.Established] != "True InitialNamesAccepted" {
		t.Errorf("conditions %v", c)
	}
	l.Remove(o)
	l.Remove(def)
	if _, ok := l.State.KindOf("as.x.org"); ok {
		t.Error("a kind outlives its definition")
	}
}

// Whoever has a name keeps it; when it goes, who waits for it gets it.
func TestNamesOfDefinitions(t *testing.T) {
	l := foldtest.New()
	first, second := events.DefinitionKey("as.x.org"), events.DefinitionKey("bs.x.org")
	l.Create(first, crd("as", "A", `,"shortNames":["q"]`))
	l.Create(second, crd("bs", "B", `,"shortNames":["q"]`))
	c := definitionConditions(t, l.State, second)
	if c[apiextensionsv1.NamesAccepted] != "False ShortNamesConflict" || c[apiextensionsv1.Established] != "False NotAccepted" {
		t.Errorf("conditions %v", c)
	}
	if _, ok := l.State.KindOf("bs.x.org"); ok {
		t.Error("a kind is served whose names are another's")
	}
	if k, ok := l.State.Kinds().Named("q"); !ok || k.Name != "A" {
		t.Errorf("q is %+v", k)
	}
	l.Remove(first)
	if k, ok := l.State.Kinds().Named("q"); !ok || k.Name != "B" {
		t.Errorf("q is %+v", k)
	}
	if c := definitionConditions(t, l.State, second); c[apiextensionsv1.Established] != "True InitialNamesAccepted" {
		t.Errorf("conditions %v", c)
	}
}

// A definition of one of our own kinds adds nothing.
func TestOurKindsStayOurs(t *testing.T) {
	l := foldtest.New()
	l.Create(events.DefinitionKey(events.Roles), `{"spec":{"group":"rbac.authorization.k8s.io","scope":"Namespaced","names":{"plural":"roles","singular":"role","kind":"Role"},"versions":[{"name":"v9","served":true,"storage":true}]}}`)
	if k, ok := l.State.KindOf(events.Roles); !ok || k.Version != "v1" || len(l.State.Kinds().Custom()) != 0 {
		t.Errorf("kind %+v", k)
	}
}
