package kube_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/stave-run/stave/events"
)

func TestWhoComesIn(t *testing.T) {
	h := open(t)
	list := func(c *rest.Config) error {
		k, err := kubernetes.NewForConfig(c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(h.config); err != nil {
		t.Error(err)
	}
	nobody := rest.AnonymousClientConfig(h.config)
	if err := list(nobody); !apierrors.IsUnauthorized(err) {
		t.Errorf("without a certificate: %v", err)
	}
	stranger := *h.config
	other := open(t)
	o := other.as("admin", "system:masters")
	stranger.CertFile, stranger.KeyFile = o.CertFile, o.KeyFile
	if err := list(&stranger); !apierrors.IsUnauthorized(err) || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("with another cluster's certificate: %v", err)
	}
	token := rest.AnonymousClientConfig(h.config)
	token.BearerToken = "secret"
	if err := list(token); !apierrors.IsUnauthorized(err) {
		t.Errorf("with a token: %v", err)
	}
	err := list(h.as("ann"))
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "ann" cannot list resource "namespaces" in API group "" at the cluster scope`) {
		t.Errorf("as ann: %v", err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(nobody)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := d.ServerVersion(); err != nil || v.Major != "1" {
		t.Errorf("the version is for everybody: %v, %v", v, err)
	}
}

func TestDiscoveryNamesEveryKind(t *testing.T) {
	h := open(t)
	for _, legacy := range []bool{false, true} {
		d, err := discovery.NewDiscoveryClientForConfig(h.config)
		if err != nil {
			t.Fatal(err)
		}
		d.UseLegacyDiscovery = legacy
		_, lists, err := d.ServerGroupsAndResources()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range events.Kinds {
			i := slices.IndexFunc(lists, func(l *metav1.APIResourceList) bool { return l.GroupVersion == k.APIVersion() })
			if i < 0 || !slices.ContainsFunc(lists[i].APIResources, func(r metav1.APIResource) bool {
				return r.Name == k.Plural() && r.Kind == k.Name && r.Namespaced == k.Namespaced && slices.Contains(r.Verbs, "watch") && slices.Contains(r.Verbs, "create") != k.Derived
			}) {
				t.Errorf("legacy %v: %s is not told of", legacy, k.Resource)
			}
		}
	}
}

// raw gets a path as some media type.
func (h *house) raw(path, accept string) (int, string, http.Header) {
	h.Helper()
	tr, err := rest.HTTPClientFor(h.config)
	if err != nil {
		h.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.config.Host+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	r, err := tr.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		h.Fatal(err)
	}
	return r.StatusCode, string(b), r.Header
}

func TestWhatIsNotThere(t *testing.T) {
	h := open(t)
	for _, path := range []string{"/apis/networking.k8s.io/v1/gateways", "/api/v1/namespaces/default/pods/x/proxy", "/nowhere", "/apis/nowhere", "/api/v1/../../x"} {
		code, body, _ := h.raw(path, "application/json")
		if code != http.StatusNotFound || !strings.Contains(body, `"reason":"NotFound"`) || !strings.Contains(body, `"kind":"Status"`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body, _ := h.raw("/api/v1/namespaces/default/configmaps/none", "application/json"); code != 404 || !strings.Contains(body, `configmaps \"none\" not found`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body, _ := h.raw("/api/v1/pods?fieldSelector=spec.x%3D1", "application/json"); code != 400 || !strings.Contains(body, "field label not supported: spec.x") {
		t.Errorf("%d %s", code, body)
	}
	if code, body, _ := h.raw("/api/v1/configmaps", "application/x-nonsense"); code != http.StatusNotAcceptable {
		t.Errorf("%d %s", code, body)
	}
}

func TestHealth(t *testing.T) {
	h := open(t)
	for path, want := range map[string]string{"/healthz": "ok", "/livez": "ok", "/readyz?verbose": "[+]log ok", "/readyz/log": "ok"} {
		if code, body, _ := h.raw(path, "*/*"); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, _, _ := h.raw("/readyz/nothing", "*/*"); code != 404 {
		t.Errorf("an unknown check: %d", code)
	}
}

func TestOpenAPI(t *testing.T) {
	h := open(t)
	for path, want := range map[string][]string{
		"/openapi/v3":              {`"api/v1"`, `"apis/apps/v1"`},
		"/openapi/v3/apis/apps/v1": {`io.k8s.api.apps.v1.Deployment"`, `"x-kubernetes-group-version-kind":[{"group":"apps","kind":"Deployment","version":"v1"}]`},
		"/openapi/v3/api/v1":       {`"x-kubernetes-list-map-keys":["containerPort","protocol"]`, `"x-kubernetes-patch-merge-key":"name"`, "ConfigMap holds configuration data"},
		"/openapi/v2":              {`"swagger":"2.0"`, `"name":"fieldValidation"`},
	} {
		code, body, _ := h.raw(path, "application/json")
		for _, w := range want {
			if code != 200 || !strings.Contains(body, w) {
				t.Errorf("%s: %d, no %s in %.300s", path, code, w, body)
			}
		}
	}
	if code, _, header := h.raw("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"); code != 200 || !strings.Contains(header.Get("Content-Type"), "protobuf") {
		t.Errorf("protobuf: %d %v", code, header)
	}
}

func (h *house) fill(n int) {
	h.Helper()
	for i := range n {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%03d", i), Labels: map[string]string{"odd": fmt.Sprint(i % 2)}}}
		if _, err := h.client().CoreV1().ConfigMaps("default").Create(h.Context(), cm, metav1.CreateOptions{}); err != nil {
			h.Fatal(err)
		}
	}
}

// All pages of a list show one state, whatever is written in between.
func TestPagesAreOneState(t *testing.T) {
	h := open(t)
	h.fill(25)
	c := h.client().CoreV1().ConfigMaps("default")
	var names []string
	opts := metav1.ListOptions{Limit: 10}
	version := ""
	for page := 0; ; page++ {
		l, err := c.List(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range l.Items {
			names = append(names, x.Name)
		}
		if version == "" {
			version = l.ResourceVersion
		}
		if l.ResourceVersion != version {
			t.Errorf("page %d is of %s, not %s", page, l.ResourceVersion, version)
		}
		if opts.Continue = l.Continue; opts.Continue == "" {
			break
		}
		if left := l.RemainingItemCount; left == nil || *left != int64(25-len(names)) {
			t.Errorf("page %d leaves %v", page, left)
		}
		if page == 0 {
			if err := c.Delete(t.Context(), "c015", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			h.churn(20) // more than the states that are kept
		}
	}
	if len(names) != 25 || !slices.Contains(names, "c015") || !slices.IsSorted(names) {
		t.Errorf("%d names: %v", len(names), names)
	}
	old, err := c.List(t.Context(), metav1.ListOptions{ResourceVersion: version, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if err != nil || len(old.Items) != 25 || old.ResourceVersion != version {
		t.Errorf("exactly %s: %d, %v", version, len(old.Items), err)
	}
	if l, err := c.List(t.Context(), metav1.ListOptions{LabelSelector: "odd=1", FieldSelector: "metadata.name!=c001"}); err != nil || len(l.Items) != 10 {
		t.Errorf("selected %d, %v", len(l.Items), err)
	}
	if _, err := c.List(t.Context(), metav1.ListOptions{Continue: "nonsense"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a token of somebody's own: %v", err)
	}
	code, body, _ := h.raw("/api/v1/configmaps?resourceVersion=9999999999999&limit=1", "application/json") // client-go would ask again and again
	if code != http.StatusGatewayTimeout || !strings.Contains(body, "Too large resource version") {
		t.Errorf("from the future: %d %s", code, body)
	}
}

// A list whose state the log no longer holds is refused with a token of its own, by which the rest can be read as it is now.
func TestPagesThatExpired(t *testing.T) {
	h := open(t)
	h.fill(6)
	c := h.client().CoreV1().ConfigMaps("default")
	first, err := c.List(t.Context(), metav1.ListOptions{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), "c002", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	h.churn(20) // more than the states that are kept
	if err := h.log.Cut(t.Context(), h.view.Durable().Seq); err != nil {
		t.Fatal(err)
	}
	h.goesOn(first.ResourceVersion, first.Continue, func(opts metav1.ListOptions) (metav1.ListInterface, []string, error) {
		l, err := c.List(t.Context(), opts)
		var names []string
		for _, x := range l.Items {
			names = append(names, x.Name)
		}
		return l, names, err
	}, "c003", "c004", "c005")
}

// goesOn reads the rest of a list in pages of two, whose token is not good any more.
func (h *house) goesOn(version, token string, list func(metav1.ListOptions) (metav1.ListInterface, []string, error), want ...string) {
	h.Helper()
	_, _, err := list(metav1.ListOptions{Limit: 2, Continue: token})
	var refused apierrors.APIStatus
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &refused) || refused.Status().ListMeta.Continue == "" || !strings.Contains(err.Error(), "use the continue token in this response") {
		h.Fatalf("the old token: %v", err)
	}
	var names []string
	var at string
	for opts := (metav1.ListOptions{Limit: 2, Continue: refused.Status().ListMeta.Continue}); ; {
		l, more, err := list(opts)
		if err != nil {
			h.Fatal(err)
		}
		if at == "" {
			at = l.GetResourceVersion()
		}
		if l.GetResourceVersion() != at || at == version {
			h.Errorf("a page of %s after one of %s; the first was of %s", l.GetResourceVersion(), at, version)
		}
		names = append(names, more...)
		if opts.Continue = l.GetContinue(); opts.Continue == "" {
			break
		}
	}
	if !slices.Equal(names, want) {
		h.Errorf("the rest is %v, want %v", names, want)
	}
}

// churn reads other lists so that states kept for pages are pushed out.
func (h *house) churn(n int) {
	h.Helper()
	for i := range n {
		name := fmt.Sprintf("churn%d", i)
		if _, err := h.client().CoreV1().Namespaces().Create(h.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			h.Fatal(err)
		}
		if _, err := h.client().CoreV1().Namespaces().List(h.Context(), metav1.ListOptions{Limit: 1}); err != nil {
			h.Fatal(err)
		}
	}
}

func TestTablesAndForms(t *testing.T) {
	h := open(t)
	h.fill(1)
	code, body, _ := h.raw("/api/v1/namespaces/default/configmaps", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	for _, want := range []string{`"kind":"Table"`, `"name":"Name"`, `"format":"name"`, `"cells":["c000","0",`, `"kind":"PartialObjectMetadata"`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d: no %s in %s", code, want, body)
		}
	}
	if _, body, _ = h.raw("/api/v1/namespaces/default/configmaps/c000", "application/yaml"); !strings.Contains(body, "kind: ConfigMap\n") {
		t.Errorf("yaml: %s", body)
	}
	h.staveApplies(shop)
	if code, body, _ = h.raw("/apis/apps/v1/namespaces/default/deployments/shop/scale", "application/json;as=Table;v=v1;g=meta.k8s.io"); !strings.Contains(body, `"name":"Desired"`) || !strings.Contains(body, `"cells":["shop","1","`) {
		t.Errorf("scale: %d %s", code, body)
	}
	binary := *h.config
	binary.ContentType = "application/vnd.kubernetes.protobuf"
	c, err := kubernetes.NewForConfig(&binary)
	if err != nil {
		t.Fatal(err)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-"}, BinaryData: map[string][]byte{"b": {0, 255}}}
	if cm, err = c.CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{}); err != nil || !strings.HasPrefix(cm.Name, "made-") || cm.UID == "" {
		t.Errorf("protobuf: %+v, %v", cm, err)
	}
	if l, err := c.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 2 {
		t.Errorf("protobuf: %+v, %v", l, err)
	}
	if _, err := c.RESTClient().Get().AbsPath("/apis/apps/v1").DoRaw(t.Context()); err != nil {
		t.Error(err)
	}
}
