package kube_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
)

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.x.org}
spec:
  group: x.org
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [toys]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.count, statusReplicasPath: .status.count}}
    selectableFields: [{jsonPath: .spec.colour}]
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, maximum: 9, x-kubernetes-validations: [{rule: self >= oldSelf, message: may not shrink}]}
              colour: {type: string, default: green}
              count: {type: integer}
              port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
              limits: {type: object, additionalProperties: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}], pattern: '^[0-9a-z]+$'}}
              either: {type: object, nullable: true, properties: {a: {type: string}, b: {type: string}}, oneOf: [{required: [a]}, {required: [b]}]}
              loose: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, n: {type: integer}}}
          status: {type: object, properties: {count: {type: integer}, said: {type: string}}}
  - name: v1beta1
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

var (
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	widgetsV1   = schema.GroupVersionResource{Group: "x.org", Version: "v1", Resource: "widgets"}
	widgetsBeta = schema.GroupVersionResource{Group: "x.org", Version: "v1beta1", Resource: "widgets"}
)

func parsed(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, u); err != nil {
		t.Fatal(err)
	}
	return u
}

func widget(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return parsed(t, "apiVersion: x.org/v1\nkind: Widget\nmetadata: {name: "+name+"}\nspec: "+spec)
}

// dynamics is a client for kinds of any sort, in a house that has widgets.
func dynamics(h *house) dynamic.Interface {
	h.Helper()
	c, err := dynamic.NewForConfig(h.config)
	if err != nil {
		h.Fatal(err)
	}
	made, err := c.Resource(definitions).Create(h.Context(), parsed(h.TB, widgets), metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(made.Object, &crd); err != nil || len(crd.Status.Conditions) != 2 || crd.Status.Conditions[1].Status != apiextensionsv1.ConditionTrue {
		h.Fatalf("%+v, %v", crd.Status, err)
	}
	return c
}

func at(u *unstructured.Unstructured, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
	return v
}

func TestObjectsOfDefinitionsAreWritten(t *testing.T) {
	h := open(t)
	c := dynamics(h).Resource(widgetsV1).Namespace("default")
	made, err := c.Create(t.Context(), widget(t, "a", "{size: 3}\nstatus: {said: nothing}"), metav1.CreateOptions{FieldManager: "tests"})
	if err != nil || at(made, "spec", "colour") != "green" || made.GetGeneration() != 1 || at(made, "status") != nil || len(made.GetManagedFields()) != 1 {
		t.Fatalf("%v, %v", made, err)
	}
	k := events.Key{Resource: "widgets.x.org", Namespace: "default", Name: "a"}
	if e := h.lastEvent(k); e.Subject != "log.spec.widgets=2ex=2eorg.default.a" || e.Type != "widgets.x.org.created" || e.Actor != "user:admin" {
		t.Errorf("the log says %s %s by %s", e.Subject, e.Type, e.Actor)
	}
	for name, want := range map[string]string{
		"{size: 30}":        "spec.size: Invalid value: 30",
		"{size: 3, wat: 1}": `unknown field "spec.wat"`,
		"{size: large}":     "must be of type integer",
		"{parts: [{n: 1}]}": "spec.parts[0].name: Required value",
	} {
		_, err := c.Create(t.Context(), widget(t, "b", name), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	made, err = c.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"size":4}}`), metav1.PatchOptions{})
	if err != nil || at(made, "spec", "size") != int64(4) || made.GetGeneration() != 2 {
		t.Errorf("%v, %v", made, err)
	}
	if _, err = c.Patch(t.Context(), "a", types.JSONPatchType, []byte(`[{"op":"replace","path":"/spec/size","value":1}]`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "may not shrink") {
		t.Errorf("a rule about what was: %v", err)
	}
	if _, err = c.Patch(t.Context(), "a", types.StrategicMergePatchType, []byte(`{"spec":{"size":5}}`), metav1.PatchOptions{}); !apierrors.IsUnsupportedMediaType(err) {
		t.Errorf("a strategic patch: %v", err)
	}
	made.Object["status"] = map[string]any{"said": "well", "count": int64(2)}
	if made, err = c.UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil || at(made, "status", "said") != "well" || made.GetGeneration() != 2 {
		t.Errorf("%v, %v", made, err)
	}
	made.SetLabels(map[string]string{"l": "1"})
	delete(made.Object, "status")
	if made, err = c.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || at(made, "status", "said") != "well" || made.GetLabels()["l"] != "1" {
		t.Errorf("%v, %v", made, err)
	}
	scale, err := c.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{}, "scale")
	if err != nil || at(scale, "spec", "replicas") != int64(7) || at(scale, "status", "replicas") != int64(2) {
		t.Errorf("%v, %v", scale, err)
	}
	if made, err = c.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || at(made, "spec", "count") != int64(7) {
		t.Errorf("%v, %v", made, err)
	}
}

// Lists of maps merge by their keys in a server-side apply, as the schema says.
func TestObjectsOfDefinitionsAreApplied(t *testing.T) {
	h := open(t)
	c := dynamics(h).Resource(widgetsV1).Namespace("default")
	for _, manager := range []string{"ann", "bob"} {
		if _, err := c.Apply(t.Context(), "a", widget(t, "a", "{parts: [{name: "+manager+", n: 1}]}"), metav1.ApplyOptions{FieldManager: manager}); err != nil {
			t.Fatal(err)
		}
	}
	made, err := c.Get(t.Context(), "a", metav1.GetOptions{})
	if parts, _ := at(made, "spec", "parts").([]any); err != nil || len(parts) != 2 {
		t.Errorf("%v, %v", made, err)
	}
	if _, err = c.Apply(t.Context(), "a", widget(t, "a", "{parts: [{name: bob, n: 2}]}"), metav1.ApplyOptions{FieldManager: "ann"}); !apierrors.IsConflict(err) {
		t.Errorf("%v", err)
	}
}

// Finalizers of objects of definitions need no domain: it is wished for, once.
func TestFinalizersOfDefinitionsNeedNoDomain(t *testing.T) {
	h := open(t)
	dynamics(h)
	var warned said
	config := rest.CopyConfig(h.config)
	config.WarningHandler = &warned
	all, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c := all.Resource(widgetsV1).Namespace("default")
	w := widget(t, "a", "{parts: []}")
	w.SetFinalizers([]string{"mine", "mine.org", "mine.org/a"})
	made, err := c.Create(t.Context(), w, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`metadata.finalizers: "mine": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers`,
		`metadata.finalizers: "mine.org": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers`}
	if !slices.Equal(warned, want) {
		t.Errorf("warned of %q", warned)
	}
	warned = nil
	made.SetLabels(map[string]string{"a": "b"})
	if made, err = c.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || len(warned) > 0 {
		t.Errorf("warned again: %q, %v", warned, err)
	}
	made.SetFinalizers([]string{"no name"})
	if _, err = c.Update(t.Context(), made, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a name that is none: %v", err)
	}
}

func TestObjectsOfDefinitionsAreRead(t *testing.T) {
	h := open(t)
	all := dynamics(h)
	c := all.Resource(widgetsV1).Namespace("default")
	list, err := c.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 || list.GetKind() != "WidgetList" {
		t.Fatalf("%v, %v", list, err)
	}
	w, err := c.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), FieldSelector: "spec.colour=red"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for name, colour := range map[string]string{"a": "blue", "b": "red"} {
		if _, err := c.Create(t.Context(), widget(t, name, "{size: 2, colour: "+colour+"}"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []watch.EventType{watch.Added, watch.Deleted} {
		select {
		case e := <-w.ResultChan():
			if u, ok := e.Object.(*unstructured.Unstructured); e.Type != want || !ok || u.GetName() != "b" {
				t.Errorf("%s %v, want %s of b", e.Type, e.Object, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no %s", want)
		}
	}
	old, err := all.Resource(widgetsBeta).Namespace("default").Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || old.GetAPIVersion() != "x.org/v1beta1" || at(old, "spec", "colour") != "blue" {
		t.Errorf("%v, %v", old, err)
	}
	if _, err = c.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.size=2"}); !apierrors.IsBadRequest(err) {
		t.Errorf("%v", err)
	}
	var table metav1.Table
	raw, err := h.client().CoreV1().RESTClient().Get().AbsPath("/apis/x.org/v1/namespaces/default/widgets").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err == nil {
		err = json.Unmarshal(raw, &table)
	}
	if err != nil || len(table.ColumnDefinitions) != 2 || table.ColumnDefinitions[1].Name != "Size" || len(table.Rows) != 1 || table.Rows[0].Cells[1] != float64(2) {
		t.Errorf("%s, %v", raw, err)
	}
}

// What there is is told at once, and no more when the definition is gone, which
// takes its objects with it.
func TestDefinitionsComeAndGo(t *testing.T) {
	h := open(t)
	all := dynamics(h)
	c := all.Resource(widgetsV1).Namespace("default")
	if _, err := c.Create(t.Context(), widget(t, "a", "{size: 2}"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(h.config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.ServerResourcesForGroupVersion("x.org/v1")
	if err != nil || !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool {
		return r.Name == "widgets" && r.Kind == "Widget" && slices.Equal(r.ShortNames, []string{"wd"}) && slices.Equal(r.Categories, []string{"toys"})
	}) || len(list.APIResources) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	groups, err := d.ServerGroups()
	if err != nil || !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool {
		return g.Name == "x.org" && g.PreferredVersion.Version == "v1" && len(g.Versions) == 2
	}) {
		t.Errorf("%+v, %v", groups, err)
	}
	open3, err := d.OpenAPIV3().Paths()
	if _, ok := open3["apis/x.org/v1"]; err != nil || !ok {
		t.Errorf("%v", err)
	}
	open2, err := d.OpenAPISchema()
	if err != nil || !slices.ContainsFunc(open2.Definitions.AdditionalProperties, func(p *openapi_v2.NamedSchema) bool { return p.Name == "org.x.v1.Widget" }) {
		t.Errorf("OpenAPI v2 has no widgets: %v", err)
	}
	if _, body, _ := h.raw("/openapi/v3/apis/x.org/v1", "application/json"); !strings.Contains(body, `"oneOf"`) || !strings.Contains(body, `"nullable":true`) {
		t.Error("version 3 has lost what version 2 cannot say")
	}
	if err := all.Resource(definitions).Delete(t.Context(), "widgets.x.org", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the definition goes", func(context.Context) bool {
		_, err := all.Resource(definitions).Get(t.Context(), "widgets.x.org", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if _, err := c.List(t.Context(), metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("%v", err)
	}
	if _, err := d.ServerResourcesForGroupVersion("x.org/v1"); !apierrors.IsNotFound(err) {
		t.Errorf("%v", err)
	}
	if e := h.lastEvent(events.Key{Resource: "widgets.x.org", Namespace: "default", Name: "a"}); e.Type != "widgets.x.org.removed" {
		t.Errorf("the last of the object is %s", e.Type)
	}
}
