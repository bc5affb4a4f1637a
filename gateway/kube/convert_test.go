package kube_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/stave-run/stave/events"
)

// phones are kept in v1, where an address is one field; v2 has two.
const phones = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: phones.x.org}
spec:
  group: x.org
  scope: Namespaced
  names: {plural: phones, kind: Phone}
  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {url: "https://nobody", caBundle: ""}}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {address: {type: string}}}, status: {type: object, properties: {seen: {type: string}}}}}}
  - name: v2
    served: true
    storage: false
    subresources: {status: {}}
    selectableFields: [{jsonPath: .spec.host}]
    additionalPrinterColumns: [{name: Port, type: string, jsonPath: .spec.port}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {host: {type: string}, port: {type: string, maxLength: 5}}}
          status: {type: object, properties: {host: {type: string}, port: {type: string}}}
`

var phonesV1, phonesV2 = schema.GroupVersionResource{Group: "x.org", Version: "v1", Resource: "phones"}, schema.GroupVersionResource{Group: "x.org", Version: "v2", Resource: "phones"}

// switchboard is the webhook that converts phones.
type switchboard struct {
	*httptest.Server
	mu    sync.Mutex
	asked []int                            // how many objects each question was about
	spoil func(*unstructured.Unstructured) // does something to what it answers
	no    string                           // it refuses with these words
}

func (s *switchboard) set(spoil func(*unstructured.Unstructured), no string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil, s.no = spoil, no
}

// questions are those since the last call.
func (s *switchboard) questions() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.asked
	s.asked = nil
	return out
}

func (s *switchboard) answer(w http.ResponseWriter, r *http.Request) {
	var review apiextensionsv1.ConversionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, len(review.Request.Objects))
	review.Response = &apiextensionsv1.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	if s.no != "" {
		review.Response.Result = metav1.Status{Status: metav1.StatusFailure, Message: s.no}
	}
	for _, o := range review.Request.Objects {
		u := &unstructured.Unstructured{}
		_ = u.UnmarshalJSON(o.Raw)
		redial(u, review.Request.DesiredAPIVersion)
		if s.spoil != nil {
			s.spoil(u)
		}
		review.Response.ConvertedObjects = append(review.Response.ConvertedObjects, runtime.RawExtension{Object: u})
	}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) // a client that left needs no answer
}

// redial brings a phone into another version.
func redial(u *unstructured.Unstructured, to string) {
	u.SetAPIVersion(to)
	for part, one := range map[string]string{"spec": "address", "status": "seen"} {
		fields, ok := u.Object[part].(map[string]any)
		if !ok {
			continue
		}
		if to == "x.org/v1" {
			fields[one] = fmt.Sprintf("%v:%v", fields["host"], fields["port"])
			delete(fields, "host")
			delete(fields, "port")
			continue
		}
		address, _ := fields[one].(string)
		fields["host"], fields["port"], _ = strings.Cut(address, ":")
		delete(fields, one)
	}
}

// exchange is a house with phones and whoever converts them.
func exchange(t *testing.T) (h *house, c dynamic.Interface, s *switchboard) {
	t.Helper()
	h = open(t)
	s = &switchboard{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	c, err := dynamic.NewForConfig(h.config)
	if err != nil {
		t.Fatal(err)
	}
	crd := parsed(t, phones)
	config := map[string]any{"url": s.URL, "caBundle": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}
	raw, _ := json.Marshal(config)
	config = map[string]any{}
	_ = json.Unmarshal(raw, &config)
	_ = unstructured.SetNestedMap(crd.Object, config, "spec", "conversion", "webhook", "clientConfig")
	if _, err := c.Resource(definitions).Create(t.Context(), crd, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return h, c, s
}

func phone(t *testing.T, version, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return parsed(t, "apiVersion: x.org/"+version+"\nkind: Phone\nmetadata: {name: "+name+"}\nspec: "+spec)
}

// kept is the body of the last event about a phone.
func (h *house) kept(name string) string {
	return string(h.lastEvent(events.Key{Resource: "phones.x.org", Namespace: "default", Name: name}).Body)
}

// Whatever is written in one version is read in another, as a webhook converts it; the
// log holds the storage version.
func TestConversionWebhooks(t *testing.T) {
	h, all, board := exchange(t)
	one, two := all.Resource(phonesV1).Namespace("default"), all.Resource(phonesV2).Namespace("default")
	made, err := two.Create(t.Context(), phone(t, "v2", "a", "{host: h, port: '1'}"), metav1.CreateOptions{})
	if err != nil || at(made, "spec", "port") != "1" || made.GetAPIVersion() != "x.org/v2" {
		t.Fatalf("%v, %v", made, err)
	}
	if said := h.kept("a"); !strings.Contains(said, `"apiVersion":"x.org/v1"`) || !strings.Contains(said, `"address":"h:1"`) {
		t.Errorf("the log keeps %s", said)
	}
	if made, err = one.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || at(made, "spec", "address") != "h:1" {
		t.Errorf("%v, %v", made, err)
	}
	board.questions()
	if _, err = one.Create(t.Context(), phone(t, "v1", "b", "{address: 'h:2'}"), metav1.CreateOptions{}); err != nil || len(board.questions()) != 0 {
		t.Errorf("%v, or a webhook was asked about the version that is kept", err)
	}
	// What the schema of the request's version forbids is refused in its words.
	if _, err = two.Create(t.Context(), phone(t, "v2", "c", "{host: h, port: '123456'}"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.port: Too long") {
		t.Errorf("%v", err)
	}
	for kind, patch := range map[types.PatchType]string{types.MergePatchType: `{"spec":{"port":"3"}}`, types.JSONPatchType: `[{"op":"replace","path":"/spec/port","value":"3"}]`} {
		if made, err = two.Patch(t.Context(), "a", kind, []byte(patch), metav1.PatchOptions{}); err != nil || at(made, "spec", "port") != "3" || made.GetGeneration() != 2 {
			t.Errorf("%s: %v, %v", kind, made, err)
		}
	}
	made.Object["status"] = map[string]any{"host": "s", "port": "9"}
	if made, err = two.UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil || at(made, "status", "port") != "9" {
		t.Errorf("%v, %v", made, err)
	}
	if made, err = one.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || at(made, "status", "seen") != "s:9" || at(made, "spec", "address") != "h:3" {
		t.Errorf("%v, %v", made, err)
	}
	tried, err := two.Create(t.Context(), phone(t, "v2", "d", "{host: h, port: '1'}"), metav1.CreateOptions{DryRun: []string{"All"}})
	if err != nil || at(tried, "spec", "host") != "h" {
		t.Errorf("dry run: %v, %v", tried, err)
	}
	if err = two.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// A list asks once about all that it shows; fields that are selected on are those of
// its version; tables have its columns.
func TestListsAreConvertedTogether(t *testing.T) {
	h, all, board := exchange(t)
	one, two := all.Resource(phonesV1).Namespace("default"), all.Resource(phonesV2).Namespace("default")
	for i, name := range []string{"a", "b", "c"} {
		if _, err := one.Create(t.Context(), phone(t, "v1", name, fmt.Sprintf("{address: 'h%d:%d'}", i, i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	board.questions()
	list, err := two.List(t.Context(), metav1.ListOptions{})
	if asked := board.questions(); err != nil || len(list.Items) != 3 || at(&list.Items[2], "spec", "host") != "h2" || len(asked) != 1 || asked[0] != 3 {
		t.Errorf("%v, %v; asked %v", list, err, asked)
	}
	list, err = two.List(t.Context(), metav1.ListOptions{Limit: 2})
	if asked := board.questions(); err != nil || len(list.Items) != 2 || list.GetContinue() == "" || len(asked) != 1 || asked[0] != 2 {
		t.Errorf("%v, %v; asked %v", list, err, asked)
	}
	list, err = two.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.host=h1"})
	if err != nil || len(list.Items) != 1 || list.Items[0].GetName() != "b" {
		t.Errorf("%v, %v", list, err)
	}
	var table metav1.Table
	raw, err := h.client().CoreV1().RESTClient().Get().AbsPath("/apis/x.org/v2/namespaces/default/phones").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err == nil {
		err = json.Unmarshal(raw, &table)
	}
	if err != nil || len(table.Rows) != 3 || table.Rows[2].Cells[1] != "2" {
		t.Errorf("%s, %v", raw, err)
	}
	w, err := two.Watch(t.Context(), metav1.ListOptions{FieldSelector: "spec.host=h1"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for i, patch := range []string{"", `{"spec":{"port":"8"}}`, `{"spec":{"host":"elsewhere"}}`} {
		if patch != "" {
			if _, err := two.Patch(t.Context(), "b", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if u := told(t, w, []watch.EventType{watch.Added, watch.Modified, watch.Deleted}[i]); u.GetAPIVersion() != "x.org/v2" || at(u, "spec", "host") == nil {
			t.Errorf("told %v", u)
		}
	}
}

// told is the object of a watch's next event.
func told(t *testing.T, w watch.Interface, want watch.EventType) *unstructured.Unstructured {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		u, ok := e.Object.(*unstructured.Unstructured)
		if e.Type != want || !ok {
			t.Fatalf("%s %v, want %s", e.Type, e.Object, want)
		}
		return u
	case <-time.After(time.Minute):
		t.Fatalf("no %s", want)
		return nil
	}
}

// Managers of fields keep what is theirs, whatever version they apply in.
func TestAppliesInTwoVersions(t *testing.T) {
	_, all, _ := exchange(t)
	one, two := all.Resource(phonesV1).Namespace("default"), all.Resource(phonesV2).Namespace("default")
	if _, err := two.Apply(t.Context(), "a", phone(t, "v2", "a", "{host: h, port: '1'}"), metav1.ApplyOptions{FieldManager: "ann"}); err != nil {
		t.Fatal(err)
	}
	labelled := phone(t, "v1", "a", "{}")
	labelled.SetLabels(map[string]string{"l": "1"})
	if _, err := one.Apply(t.Context(), "a", labelled, metav1.ApplyOptions{FieldManager: "bob"}); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Apply(t.Context(), "a", phone(t, "v2", "a", "{host: h, port: '2'}"), metav1.ApplyOptions{FieldManager: "bob"}); !apierrors.IsConflict(err) {
		t.Errorf("bob took what is ann's: %v", err)
	}
	made, err := two.Apply(t.Context(), "a", phone(t, "v2", "a", "{host: h, port: '2'}"), metav1.ApplyOptions{FieldManager: "ann"})
	if err != nil || at(made, "spec", "port") != "2" || made.GetLabels()["l"] != "1" {
		t.Errorf("%v, %v", made, err)
	}
}

// When another version is kept from now on, an object gets there when it is written,
// with its status, and that alone is no new generation.
func TestStorageVersionsChange(t *testing.T) {
	h, all, _ := exchange(t)
	one, two := all.Resource(phonesV1).Namespace("default"), all.Resource(phonesV2).Namespace("default")
	made, err := one.Create(t.Context(), phone(t, "v1", "a", "{address: 'h:1'}"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.Object["status"] = map[string]any{"seen": "s:1"}
	if _, err = one.UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	crd, err := all.Resource(definitions).Patch(t.Context(), "phones.x.org", types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/spec/versions/0/storage","value":false},{"op":"replace","path":"/spec/versions/1/storage","value":true}]`), metav1.PatchOptions{})
	if stored, _, _ := unstructured.NestedStringSlice(crd.Object, "status", "storedVersions"); err != nil || strings.Join(stored, " ") != "v1 v2" {
		t.Fatalf("%v, %v", stored, err)
	}
	if made, err = two.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || at(made, "status", "host") != "s" {
		t.Fatalf("%v, %v", made, err)
	}
	again, err := two.Update(t.Context(), made, metav1.UpdateOptions{})
	if err != nil || again.GetGeneration() != made.GetGeneration() || again.GetResourceVersion() == made.GetResourceVersion() {
		t.Errorf("%v, %v", again, err)
	}
	if o, ok := h.view.Durable().Get(events.Key{Resource: "phones.x.org", Namespace: "default", Name: "a"}); !ok ||
		!strings.Contains(string(o.Raw), `"host":"h"`) || string(o.Status) != `{"host":"s","port":"1"}` {
		t.Errorf("kept are %s and %s", o.Raw, o.Status)
	}
	if made, err = one.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || at(made, "status", "seen") != "s:1" || at(made, "spec", "address") != "h:1" {
		t.Errorf("%v, %v", made, err)
	}
}

// A webhook may change labels and annotations, and nothing else of the metadata; what
// it refuses, or does not answer, is told in Kubernetes' words.
func TestConversionsThatFail(t *testing.T) {
	_, all, board := exchange(t)
	one, two := all.Resource(phonesV1).Namespace("default"), all.Resource(phonesV2).Namespace("default")
	if _, err := one.Create(t.Context(), phone(t, "v1", "a", "{address: 'h:1'}"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	board.set(func(u *unstructured.Unstructured) {
		u.SetAnnotations(map[string]string{"via": "webhook"})
		u.SetFinalizers([]string{"x.org/mine"})
	}, "")
	made, err := two.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || made.GetAnnotations()["via"] != "webhook" || len(made.GetFinalizers()) != 0 {
		t.Errorf("%v, %v", made, err)
	}
	const begins = "conversion webhook for x.org/v1, Kind=Phone "
	for want, spoil := range map[string]func(*unstructured.Unstructured){
		"returned invalid converted object at index 0: must have the same name: a != b":                             func(u *unstructured.Unstructured) { u.SetName("b") },
		"returned invalid converted object at index 0: must have the same UID":                                      func(u *unstructured.Unstructured) { u.SetUID("1") },
		"returned invalid converted object at index 0: invalid groupVersion (expected x.org/v2, received x.org/v3)": func(u *unstructured.Unstructured) { u.SetAPIVersion("x.org/v3") },
		`returned invalid converted object at index 0: metadata.labels: Invalid value: "not a label"`:               func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"not a label": ""}) },
		"returned invalid converted object at index 0: must have the same name: a != ":                              func(u *unstructured.Unstructured) { delete(u.Object, "metadata") },
	} {
		board.set(spoil, "")
		if _, err := two.Get(t.Context(), "a", metav1.GetOptions{}); err == nil || !strings.HasPrefix(err.Error(), begins+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	board.set(nil, "nobody home")
	failed := func(err error, words string) {
		t.Helper()
		if s, ok := err.(apierrors.APIStatus); !ok || s.Status().Code != http.StatusInternalServerError || !strings.HasPrefix(err.Error(), words) {
			t.Errorf("%v, want %s", err, words)
		}
	}
	_, err = two.Get(t.Context(), "a", metav1.GetOptions{})
	failed(err, begins+"failed: nobody home")
	board.Close()
	_, err = two.List(t.Context(), metav1.ListOptions{})
	failed(err, begins+`failed: Post "https://127.0.0.1`)
	_, err = two.Create(t.Context(), phone(t, "v2", "b", "{host: h}"), metav1.CreateOptions{})
	failed(err, `conversion webhook for x.org/v2, Kind=Phone failed: Post "https://127.0.0.1`)
	w, err := two.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	select {
	case e := <-w.ResultChan():
		failed(apierrors.FromObject(e.Object), begins+"failed: Post")
	case <-time.After(time.Minute):
		t.Error("the watch says nothing")
	}
	// The version that is kept needs nobody.
	if _, err = one.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if err = one.Delete(context.WithoutCancel(t.Context()), "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}
