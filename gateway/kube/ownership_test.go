package kube_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// stave makes a change as the command line does, by the other door.
func (h *house) stave(c wire.ChangeRequest, item wire.Item) {
	h.Helper()
	id := fmt.Sprint(time.Now().UnixNano())
	var out admit.Outcome
	made, err := h.loop.Submit(h.Context(), run.Request{Actor: events.User("ann"), ID: id, Key: item.Key, Decide: func(v projections.State, now time.Time) ([]reconcilers.Draft, error) {
		out = admit.Admit(v, admit.Request{ChangeRequest: c, Item: item, Op: events.OpID(id)}, now)
		return out.Drafts, nil
	}})
	if err != nil || out.Result.Error != nil || len(made) == 0 {
		h.Fatalf("%v, %+v, %d events", err, out.Result.Error, len(made))
	}
	if _, err := h.view.WaitDurable(h.Context(), made[len(made)-1].Seq); err != nil {
		h.Fatal(err)
	}
}

func (h *house) staveApplies(manifest string) {
	h.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		h.Fatal(err)
	}
	h.stave(wire.ChangeRequest{Operation: wire.Apply}, wire.Item{Object: raw})
}

// managersOf are an object's managers, each with whether it manages the field that a path names.
func managersOf(t *testing.T, o *unstructured.Unstructured, path ...string) (all, of []string) {
	t.Helper()
	for _, m := range o.GetManagedFields() {
		name := m.Manager + "/" + string(m.Operation)
		var fields map[string]any
		if err := yaml.Unmarshal(m.FieldsV1.Raw, &fields); err != nil {
			t.Fatal(err)
		}
		if _, has, _ := unstructured.NestedFieldNoCopy(fields, path...); has {
			of = append(of, name)
		}
		if all = append(all, name); m.Time == nil {
			t.Errorf("%s manages since no time", name)
		}
	}
	return all, of
}

const shop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: default, labels: {a: b}}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers: [{name: shop, image: "shop:1", env: [{name: A, value: b}]}]
`

// Who goes on with server-side apply takes over what stave applied, as from kubectl's own apply, and what came by other
// commands stays.
func TestServerSideApplyTakesOver(t *testing.T) {
	h := open(t)
	h.staveApplies(shop)
	k := events.Key{Resource: events.Deployments, Namespace: "default", Name: "shop"}
	h.stave(wire.ChangeRequest{Operation: wire.Scale, Replicas: 4}, wire.Item{Key: k})
	c := dynamic.NewForConfigOrDie(h.config).Resource(appsv1.SchemeGroupVersion.WithResource("deployments")).Namespace("default")
	get := func() *unstructured.Unstructured {
		t.Helper()
		o, err := c.Get(t.Context(), "shop", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, f := range []struct {
		path string
		want string
	}{
		{"f:metadata f:labels f:a", "kubectl-client-side-apply/Update"},
		{"f:metadata f:annotations f:kubectl.kubernetes.io/last-applied-configuration", "kubectl-client-side-apply/Update"},
		{"f:spec f:strategy f:type", "kubectl-client-side-apply/Update"}, // a default, as in Kubernetes
		{"f:spec f:replicas", "stave/Update"},
		{"f:metadata f:name", ""},
		{"f:status", ""},
	} {
		all, of := managersOf(t, get(), strings.Fields(f.path)...)
		if strings.Join(of, " ") != f.want || !slices.Equal(all, []string{"kubectl-client-side-apply/Update", "stave/Update"}) {
			t.Errorf("%s: %v of %v, want %s", f.path, of, all, f.want)
		}
	}
	apply := func(manager, manifest string) (*unstructured.Unstructured, error) {
		raw, err := yaml.YAMLToJSON([]byte(manifest))
		if err != nil {
			t.Fatal(err)
		}
		return c.Patch(t.Context(), "shop", types.ApplyPatchType, raw, metav1.PatchOptions{FieldManager: manager})
	}
	newer := strings.NewReplacer("shop:1", "shop:2", `, env: [{name: A, value: b}]`, "").Replace(shop)
	if _, err := apply("argo", newer); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "kubectl-client-side-apply" using apps/v1: .spec.template.spec.containers[name="shop"].image`) {
		t.Errorf("%v", err)
	}
	if _, err := apply("kubectl", newer); err != nil {
		t.Fatal(err)
	}
	// As kubectl does now: it makes the fields of its apply of before its own, and applies again.
	for again := true; again; {
		patch, err := csaupgrade.UpgradeManagedFieldsPatch(get(), sets.New("kubectl-client-side-apply"), "kubectl")
		if err != nil || patch == nil {
			t.Fatalf("%s, %v", patch, err)
		}
		_, err = c.Patch(t.Context(), "shop", types.JSONPatchType, patch, metav1.PatchOptions{})
		if again = apierrors.IsConflict(err); err != nil && !again {
			t.Fatal(err)
		}
	}
	o, err := apply("kubectl", newer)
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); n != 4 {
		t.Errorf("%d replicas after it: a change of another's is gone", n)
	}
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if made := fmt.Sprint(containers); !strings.Contains(made, "shop:2") || strings.Contains(made, "env:") {
		t.Errorf("%s", made)
	}
	if all, _ := managersOf(t, o); !slices.Equal(all, []string{"kubectl/Apply", "stave/Update"}) {
		t.Errorf("%v", all)
	}
	if _, err := apply("kubectl", newer+"  replicas: 2\n"); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "stave" using apps/v1: .spec.replicas`) {
		t.Errorf("%v", err)
	}
	// And back.
	h.staveApplies(strings.Replace(newer, "shop:2", "shop:3", 1))
	if _, err = apply("kubectl", strings.Replace(newer, "shop:2", "shop:4", 1)); err != nil {
		t.Errorf("%v", err)
	}
}

// What the cluster gives out is nobody's, and neither is what it makes itself.
func TestWhoManagesWhatIsGivenOut(t *testing.T) {
	h := open(t)
	h.staveApplies("{apiVersion: v1, kind: Service, metadata: {name: s, namespace: default}, spec: {type: NodePort, ports: [{port: 80}]}}")
	h.stave(wire.ChangeRequest{Operation: wire.Create}, wire.Item{Object: []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"default"},"data":{"a":"b"}}`)})
	c := dynamic.NewForConfigOrDie(h.config)
	s, err := c.Resource(corev1.SchemeGroupVersion.WithResource("services")).Namespace("default").Get(t.Context(), "s", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all, of := managersOf(t, s, "f:spec", "f:clusterIP")
	_, port := managersOf(t, s, "f:spec", "f:ports", `k:{"port":80,"protocol":"TCP"}`, "f:nodePort")
	if !slices.Equal(all, []string{"kubectl-client-side-apply/Update"}) || len(of)+len(port) > 0 {
		t.Errorf("%v, %v, %v", all, of, port)
	}
	made, err := c.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace("default").Get(t.Context(), "c", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if all, of := managersOf(t, made, "f:data", "f:a"); !slices.Equal(all, []string{"stave/Update"}) || len(of) != 1 {
		t.Errorf("%v, %v", all, of)
	}
}
