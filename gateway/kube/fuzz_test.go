package kube_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// The targets run their seeds in the gate; `go test -fuzz FuzzPatches ./gateway/kube`
// looks on.

// fuzzed is one house for all inputs of a target.
func fuzzed(f *testing.F) *house {
	f.Helper()
	h := open(f)
	c := h.client()
	if _, err := c.CoreV1().ConfigMaps("default").Create(f.Context(), configMap("c", map[string]string{"a": "b"}), metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
	if _, err := c.CoordinationV1().Leases("default").Create(f.Context(), lease("l", "me"), metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
	if _, err := c.AppsV1().Deployments("default").Create(f.Context(), workload("d", 0), metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
	return h
}

// sound wants an answer that is no fault of the server's, in Kubernetes' words. Some
// patches that make no sense get 500 of Kubernetes' own handlers; what broke here
// would be an internal error.
func sound(t *testing.T, c *rest.Config, method, path, contentType string, body []byte) {
	t.Helper()
	code, st := rough(t, c, method, path, contentType, body)
	switch {
	case code > http.StatusInternalServerError || code == http.StatusInternalServerError && st.Reason == metav1.StatusReasonInternalError:
		t.Errorf("%s %s (%s): %d %s\n%q", method, path, contentType, code, st.Message, body)
	case code >= http.StatusBadRequest && method != http.MethodHead && st.Status != metav1.StatusFailure:
		t.Errorf("%s %s (%s): %d without a Status\n%q", method, path, contentType, code, body)
	}
}

// fuzzedPaths are objects that are there.
var fuzzedPaths = []string{configMapsPath + "/c", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l", "/apis/apps/v1/namespaces/default/deployments/d"}

// fuzzedForms are the forms of patches.
var fuzzedForms = []string{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"}

func FuzzPatches(f *testing.F) {
	for form, bodies := range map[int][]string{
		0: {`[]`, `[{"op":"replace","path":"/data/a","value":"c"}]`, `[{"op":"copy","from":"/metadata","path":"/metadata/labels"}]`, `[{"op":"move","from":"/data","path":"/data/a"}]`, `[{"op":"add","path":"/spec/template/spec/containers/-","value":null}]`, `[{"op":"test","path":"","value":1}]`, `[{"op":"remove","path":"/metadata/name"}]`, `[{"op":"add","path":"/metadata/managedFields/99","value":{}}]`, `{"op":1}`},
		1: {`{}`, `{"data":null}`, `{"metadata":{"name":"x"}}`, `{"metadata":null}`, `{"spec":{"holderIdentity":7}}`, `{"spec":{"template":{"spec":{"containers":"x"}}}}`, `null`, `[1]`, `{"metadata":{"managedFields":[{}]}}`, `{"metadata":{"finalizers":[null]}}`},
		2: {`{"spec":{"template":{"spec":{"containers":[{"name":"c","$patch":"delete"}]}}}}`, `{"$patch":"replace"}`, `{"$patch":"odd"}`, `{"metadata":{"$retainKeys":["name"]}}`, `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"x"},1]}}}}`, `{"spec":{"template":{"spec":{"containers":[null]}}}}`, `{"metadata":{"finalizers":{"$patch":"merge"}}}`, `{"$deleteFromPrimitiveList/x":1}`},
		3: {`{}`, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: c}}`, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {template: {spec: {containers: [{name: c}, {name: c}]}}}}`, "a: &a [*a]", "- 1", "a: [", `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: l, managedFields: []}, spec: {leaseTransitions: -1}}`, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: [1]}`},
	} {
		for i, body := range bodies {
			f.Add(form, i%len(fuzzedPaths), body)
			f.Add(form, (i+1)%len(fuzzedPaths), body)
		}
	}
	config := fuzzed(f).config
	f.Fuzz(func(t *testing.T, form, path int, body string) {
		p := fuzzedPaths[uint(path)%uint(len(fuzzedPaths))]
		sound(t, config, http.MethodPatch, p+"?dryRun=All&fieldManager=f", fuzzedForms[uint(form)%uint(len(fuzzedForms))], []byte(body))
	})
}

func FuzzBodies(f *testing.F) {
	forms := []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"}
	for _, body := range []string{"", "{", "null", "[]", `"x"`, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"binaryData":{"a":"!"}}`, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"generateName":"\u0000"}}`,
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","creationTimestamp":"never"}}`, `{"apiVersion":"v1","kind":"List","items":[1]}`, "k8s\x00\n\x04\n\x02v1", "a: b\n---\nc: d", "\xd9\xd9\xf7\xa1aa\x01",
		`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"x"},"spec":{"renewTime":"2026-01-01"}}`, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","ownerReferences":[{}],"finalizers":[""]}}`} {
		for form := range forms {
			f.Add(form, 0, body)
			f.Add(form, 1, body)
		}
	}
	config := fuzzed(f).config
	f.Fuzz(func(t *testing.T, form, path int, body string) {
		p := fuzzedPaths[uint(path)%uint(len(fuzzedPaths))]
		sound(t, config, http.MethodPost, p[:strings.LastIndexByte(p, '/')]+"?dryRun=All&fieldValidation=Strict", forms[uint(form)%uint(len(forms))], []byte(body))
	})
}

func FuzzPaths(f *testing.F) {
	for _, path := range []string{"/", "/api", "/api/v1", "/apis/", "//", "/api/v1/namespaces/default/pods/x/log?tailLines=-1", "/api/v1/watch/namespaces/a/pods", "/api/v1/pods?watch=1&timeoutSeconds=0&resourceVersion=9", "/apis/x/y/z?limit=-1",
		"/api/v1/configmaps?continue=e30", "/api/v1/events?fieldSelector=involvedObject.kind%3DPod", "/apis/coordination.k8s.io/v1/leases?limit=1&continue=eyJzIjoxfQ", "/api/v1/configmaps?resourceVersionMatch=Exact&resourceVersion=1",
		"/openapi/v3/x?hash=1", "/healthz/x", "/metrics/x", "/api/v1/namespaces/%2f/configmaps/%00", "/api/v1/configmaps?labelSelector=a+in+(", "/apis/metrics.k8s.io/v1beta1/pods?fieldSelector=x"} {
		f.Add(path)
	}
	config := fuzzed(f).config
	var once sync.Mutex // inputs of one target run one after the other, those of several processes do not meet
	f.Fuzz(func(t *testing.T, path string) {
		once.Lock()
		defer once.Unlock()
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "watch") || strings.Contains(path, "follow") {
			t.Skip() // those last
		}
		sound(t, config, http.MethodGet, path, "", nil)
	})
}
