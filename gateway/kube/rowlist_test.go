package kube_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// bodyOf is what a path of the door answers in a form.
func (h *house) bodyOf(c *http.Client, path, accept string) []byte {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.config.Host+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	answer, err := c.Do(r)
	if err != nil {
		h.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		h.Fatalf("%s: %d %s, %v", path, answer.StatusCode, body, err)
	}
	return body
}

// TestRowListsAreWhatEncodersWrite: a list of pods whose rows were encoded before is to the byte what Kubernetes' encoders make of the
// objects, whatever becomes of the pods and of what they are made of. A form that names another one, which nobody knows, beside its
// own has the list left to the encoders.
func TestRowListsAreWhatEncodersWrite(t *testing.T) {
	h := open(t)
	c := h.client()
	web, err := rest.HTTPClientFor(h.config)
	if err != nil {
		t.Fatal(err)
	}
	same := func(after string) {
		t.Helper()
		for _, form := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf, runtime.ContentTypeCBOR, runtime.ContentTypeYAML} {
			for _, query := range []string{"/namespaces/default/pods", "/pods", "/namespaces/empty/pods", "/pods?labelSelector=" + url.QueryEscape("app in (bench,other),new!=yes"),
				"/namespaces/default/pods?limit=7", "/pods?limit=7&labelSelector=app", "/pods?fieldSelector=metadata.name%3Dpod-3", "/pods?limit=1000"} {
				path := "/api/v1" + query
				rows, encoded := h.bodyOf(web, path, form), h.bodyOf(web, path, form+", text/basic;q=0.1")
				for again := h.bodyOf(web, path, form); !bytes.Equal(again, rows); again = h.bodyOf(web, path, form) {
					rows, encoded = again, h.bodyOf(web, path, form+", text/basic;q=0.1") // a controller wrote something in between
				}
				if !bytes.Equal(rows, encoded) {
					t.Fatalf("after %s, %s as %s: %q is not %q", after, path, form, rows, encoded)
				}
			}
		}
	}
	pods := c.CoreV1().Pods("default")
	same("nothing")
	for i := range 20 {
		p := waiting(fmt.Sprintf("pod-%d", i))
		if p.Labels["odd"] = fmt.Sprint(i % 2); i%3 == 0 {
			p.Spec.AutomountServiceAccountToken = nil
		}
		if i%5 == 0 {
			p.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"<&>"}}`}
		}
		if _, err := pods.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	same("pods came")
	account := func(patch string) func() error {
		return func() error {
			_, err := c.CoreV1().ServiceAccounts("default").Patch(t.Context(), "default", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			return err
		}
	}
	root := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt", Namespace: "kube-system"}, Data: map[string]string{"ca.crt": "x"}}
	status := []byte(`{"status":{"conditions":[{"type":"Mine","status":"True"}],"message":"said <by> another"}}`)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"there is an account", func() error {
			_, err := c.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
			if err != nil {
				err = account(`{}`)() // a controller was faster
			}
			return err
		}},
		{"the account pulls", account(`{"imagePullSecrets":[{"name":"regcred"}]}`)},
		{"there is a certificate", func() error {
			_, err := c.CoreV1().ConfigMaps("kube-system").Update(t.Context(), root, metav1.UpdateOptions{})
			if err != nil {
				_, err = c.CoreV1().ConfigMaps("kube-system").Create(t.Context(), root, metav1.CreateOptions{})
			}
			return err
		}},
		{"the account mounts nothing", account(`{"automountServiceAccountToken":false}`)},
		{"a label changed", func() error {
			_, err := pods.Patch(t.Context(), "pod-3", types.MergePatchType, []byte(`{"metadata":{"labels":{"new":"yes"}}}`), metav1.PatchOptions{})
			return err
		}},
		{"a status was written", func() error {
			_, err := pods.Patch(t.Context(), "pod-4", types.MergePatchType, status, metav1.PatchOptions{}, "status")
			return err
		}},
		{"a node came", func() error {
			_, err := c.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
			return err
		}},
		{"a pod was bound", func() error {
			return pods.Bind(t.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "pod-5"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}, metav1.CreateOptions{})
		}},
		{"a pod shall go", func() error { return pods.Delete(t.Context(), "pod-5", metav1.DeleteOptions{}) }},
		{"a pod went", func() error { return pods.Delete(t.Context(), "pod-6", metav1.DeleteOptions{}) }},
		{"another one has its name", func() error {
			_, err := pods.Create(t.Context(), waiting("pod-6"), metav1.CreateOptions{})
			return err
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		same(step.what)
	}
}

// TestRowListsGoOnFromPages: a list read in pages is the whole list, when pods come and go between them too.
func TestRowListsGoOnFromPages(t *testing.T) {
	h := open(t)
	pods := h.client().CoreV1().Pods("default")
	for i := range 10 {
		if _, err := pods.Create(t.Context(), waiting(fmt.Sprintf("pod-%d", i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	left := []int64{}
	for next := "start"; next != ""; {
		if next == "start" {
			next = ""
		}
		page, err := pods.List(t.Context(), metav1.ListOptions{Limit: 4, Continue: next})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Items {
			names = append(names, p.Name)
		}
		if page.RemainingItemCount != nil {
			left = append(left, *page.RemainingItemCount)
		}
		if err := pods.Delete(t.Context(), fmt.Sprintf("pod-%d", len(names)-1), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		next = page.Continue
	}
	if fmt.Sprint(names) != "[pod-0 pod-1 pod-2 pod-3 pod-4 pod-5 pod-6 pod-7 pod-8 pod-9]" || fmt.Sprint(left) != "[6 2]" {
		t.Errorf("%v, %v", names, left)
	}
}
