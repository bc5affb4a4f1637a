package kube_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// An extension API server of ours for tests: it believes what a door says that shows a certificate of the front proxy's
// authority, as Kubernetes' library for such servers does, and tells what it heard.

var toysKind = schema.GroupVersionResource{Group: "toys.example.com", Version: "v1", Resource: "toys"}

const toysPath = "/apis/toys.example.com/v1"

// toys is such a server behind the service "toys" in the namespace default.
type toys struct {
	*house
	server *httptest.Server
	root   []byte // what vouches for it

	mu    sync.Mutex
	heard []*http.Request // without the cluster's own questions
	sick  bool            // it answers 500 to whoever asks what it serves
	// answers, when set, answers what is not about discovery.
	answers http.HandlerFunc
}

// certificateFor is a server's certificate for a name, with what vouches for it.
func certificateFor(t *testing.T, name string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// toyshop is a cluster with the server and its service, and nothing yet that leads there.
func toyshop(t *testing.T) *toys {
	h := open(t)
	x := &toys{house: h}
	cert, root := certificateFor(t, "toys.default.svc")
	x.root = root
	made, err := h.loop.Submit(t.Context(), run.Request{Actor: "test", ID: "publish", Key: projections.RootKey, Decide: func(v projections.State, _ time.Time) ([]reconcilers.Draft, error) {
		return admit.Publish(v, h.people.Root(), h.front.Root()), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.view.WaitDurable(t.Context(), made[len(made)-1].Seq); err != nil {
		t.Fatal(err)
	}
	var auth corev1.ConfigMap
	if err := h.read("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", &auth); err != nil {
		t.Fatal(err)
	}
	front := x509.NewCertPool()
	if !front.AppendCertsFromPEM([]byte(auth.Data["requestheader-client-ca-file"])) {
		t.Fatalf("no authority in %v", auth.Data)
	}
	x.server = httptest.NewUnstartedServer(x)
	x.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: front, MinVersion: tls.VersionTLS12}
	x.server.StartTLS()
	t.Cleanup(x.server.Close)
	h.podOn("toys")
	h.forwards(map[uint16]*httptest.Server{8443: x.server})
	pods := h.client().CoreV1().Pods("default")
	if _, err := pods.Patch(t.Context(), "toys", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"toys"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	h.serving("toys")
	x.service("toys", corev1.ServiceSpec{Selector: map[string]string{"app": "toys"}, Ports: []corev1.ServicePort{{Name: "https", Port: 443, TargetPort: intstr.FromInt32(8443)}}})
	return x
}

func (x *toys) service(name string, spec corev1.ServiceSpec) {
	x.Helper()
	if _, err := x.client().CoreV1().Services("default").Create(x.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{}); err != nil {
		x.Fatal(err)
	}
}

// ServeHTTP answers as an extension does.
func (x *toys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	own := r.Header.Get("X-Remote-User") == "system:kube-aggregator"
	if !own {
		x.heard = append(x.heard, r.Clone(context.Background()))
	}
	sick, answers := x.sick, x.answers
	x.mu.Unlock()
	switch {
	case r.TLS.PeerCertificates[0].Subject.CommonName != "front-proxy-client":
		http.Error(w, "who are you", http.StatusUnauthorized)
	case sick && own:
		http.Error(w, "not well", http.StatusInternalServerError)
	case r.URL.Path == toysPath:
		answerJSON(w, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "toys.example.com/v1", APIResources: []metav1.APIResource{
			{Name: "toys", SingularName: "toy", Namespaced: true, Kind: "Toy", Verbs: metav1.Verbs{"get", "list", "watch", "create", "delete"}, ShortNames: []string{"ty"}},
			{Name: "toys/status", Namespaced: true, Kind: "Toy", Verbs: metav1.Verbs{"get"}}}})
	case r.URL.Path == "/openapi/v3":
		answerJSON(w, map[string]any{"paths": map[string]any{"apis/toys.example.com/v1": map[string]string{"serverRelativeURL": "/openapi/v3/apis/toys.example.com/v1?hash=ABC"}}})
	case r.URL.Path == "/openapi/v2":
		answerJSON(w, map[string]any{"swagger": "2.0", "info": map[string]string{"title": "toys", "version": "1"}, "paths": map[string]any{
			toysPath + "/namespaces/{namespace}/toys": map[string]any{"get": map[string]any{"responses": map[string]any{"200": map[string]any{"description": "OK", "schema": map[string]string{"$ref": "#/definitions/com.example.Toy"}}}}},
			"/apis/apps/v1/deployments":               map[string]any{"get": map[string]any{"responses": map[string]any{"200": map[string]any{"description": "OK", "schema": map[string]string{"$ref": "#/definitions/com.example.Trap"}}}}},
		}, "definitions": map[string]any{"com.example.Toy": map[string]any{"type": "object", "description": "A toy."}, "com.example.Trap": map[string]any{"type": "object"}}})
	case r.URL.Path == "/openapi/v3/apis/toys.example.com/v1":
		answerJSON(w, map[string]any{"openapi": "3.0.0", "info": map[string]string{"title": "toys " + r.URL.RawQuery}})
	case answers != nil:
		answers(w, r)
	case r.URL.Query().Get("watch") != "":
		w.Header().Set("Content-Type", "application/json")
		for i := 0; ; i++ {
			fmt.Fprintf(w, `{"type":"ADDED","object":{"apiVersion":"toys.example.com/v1","kind":"Toy","metadata":{"name":"t%d"}}}`+"\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	case strings.HasSuffix(r.URL.Path, "/toys"):
		answerJSON(w, map[string]any{"apiVersion": "toys.example.com/v1", "kind": "ToyList", "metadata": map[string]any{"resourceVersion": "1"},
			"items": []any{map[string]any{"apiVersion": "toys.example.com/v1", "kind": "Toy", "metadata": map[string]any{"name": "bear", "namespace": "default"}}}})
	default:
		says(w, r)
	}
}

func answerJSON(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(what)
}

// last is the newest request that the server heard of somebody.
func (x *toys) last() *http.Request {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.heard) == 0 {
		return nil
	}
	return x.heard[len(x.heard)-1]
}

func (x *toys) set(change func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	change()
}

// registration is the APIService of the server.
func (x *toys) registration(change func(*apiregistrationv1.APIServiceSpec)) *apiregistrationv1.APIService {
	o := &apiregistrationv1.APIService{TypeMeta: metav1.TypeMeta{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService"}, ObjectMeta: metav1.ObjectMeta{Name: "v1.toys.example.com"}}
	o.Spec = apiregistrationv1.APIServiceSpec{Group: "toys.example.com", Version: "v1", GroupPriorityMinimum: 2000, VersionPriority: 200, CABundle: x.root,
		Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "toys"}}
	if change != nil {
		change(&o.Spec)
	}
	return o
}

const servicesPath = "/apis/apiregistration.k8s.io/v1/apiservices"

// registers writes the APIService, and is how that was answered.
func (x *toys) registers(o *apiregistrationv1.APIService) (int, string) {
	x.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		x.Fatal(err)
	}
	code, body, _ := x.asks(x.config, "POST", servicesPath, string(raw))
	return code, body
}

// availability is what the cluster says of the server.
func (x *toys) availability() apiregistrationv1.APIServiceCondition {
	var o apiregistrationv1.APIService
	if err := x.read(servicesPath+"/v1.toys.example.com", &o); err != nil || len(o.Status.Conditions) == 0 {
		return apiregistrationv1.APIServiceCondition{}
	}
	return o.Status.Conditions[0]
}

// opened is a shop whose server is there for everybody.
func opened(t *testing.T) *toys {
	x := toyshop(t)
	if code, body := x.registers(x.registration(nil)); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	x.awaits("True", "Passed")
	return x
}

func (x *toys) awaits(status apiregistrationv1.ConditionStatus, reason string) {
	x.Helper()
	var last apiregistrationv1.APIServiceCondition
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if last = x.availability(); last.Status == status && last.Reason == reason {
			return
		}
	}
	x.Fatalf("never %s %s: %+v", status, reason, last)
}

// A group of another server is one of the cluster's: client-go finds it in both forms of discovery, and lists, makes and watches
// its objects.
func TestExtensionsAreServed(t *testing.T) {
	x := opened(t)
	for _, old := range []bool{false, true} {
		d := discovery.NewDiscoveryClientForConfigOrDie(x.config)
		d.UseLegacyDiscovery = old
		groups, lists, err := d.ServerGroupsAndResources()
		if err != nil {
			t.Fatalf("old %t: %v", old, err)
		}
		i := slices.IndexFunc(lists, func(l *metav1.APIResourceList) bool { return l.GroupVersion == "toys.example.com/v1" })
		if i < 0 || len(lists[i].APIResources) < 1 || lists[i].APIResources[0].Kind != "Toy" || lists[i].APIResources[0].ShortNames[0] != "ty" {
			t.Errorf("old %t: %+v", old, lists)
		}
		// 2000 is behind Kubernetes' own groups and before those of definitions.
		names := []string{}
		for _, g := range groups {
			names = append(names, g.Name)
		}
		if at := slices.Index(names, "toys.example.com"); at < slices.Index(names, "storagemigration.k8s.io") || slices.Index(names, "apps") > slices.Index(names, "batch") {
			t.Errorf("old %t: %v", old, names)
		}
	}
	c := dynamic.NewForConfigOrDie(x.config).Resource(toysKind).Namespace("default")
	all, err := c.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(all.Items) != 1 || all.Items[0].GetName() != "bear" {
		t.Errorf("%+v, %v", all, err)
	}
	w, err := c.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // each as it happens
		if e := <-w.ResultChan(); e.Object.(*unstructured.Unstructured).GetName() != fmt.Sprintf("t%d", i) {
			t.Errorf("%d: %+v", i, e)
		}
	}
	w.Stop()
	if code, body, _ := x.asks(x.config, "PATCH", toysPath+"/namespaces/default/toys/bear?fieldManager=me", "hello"); code != 200 || !strings.HasPrefix(body, "PATCH "+toysPath+"/namespaces/default/toys/bear?fieldManager=me hello") {
		t.Errorf("%d %s", code, body)
	}
	var documents struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := x.read("/openapi/v3", &documents); err != nil || documents.Paths["apis/apps/v1"].ServerRelativeURL == "" {
		t.Errorf("%+v, %v", documents, err)
	}
	at := documents.Paths["apis/toys.example.com/v1"].ServerRelativeURL
	if code, body, _ := x.asks(x.config, "GET", at, ""); code != 200 || !strings.Contains(body, `"title":"toys "`) {
		t.Errorf("%s: %d %s", at, code, body)
	}
	_, second, _ := x.asks(x.config, "GET", "/openapi/v2", "")
	if !strings.Contains(second, `"com.example.Toy"`) || !strings.Contains(second, toysPath+"/namespaces/{namespace}/toys") || !strings.Contains(second, `"io.k8s.api.apps.v1.Deployment"`) || strings.Contains(second, "com.example.Trap") {
		t.Errorf("%.2000s", second)
	}
	var table metav1.Table
	body, err := x.client().RESTClient().Get().RequestURI(servicesPath).SetHeader("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1").DoRaw(t.Context())
	if err != nil || json.Unmarshal(body, &table) != nil {
		t.Fatalf("%s, %v", body, err)
	}
	rows := fmt.Sprint(table.Rows)
	if table.ColumnDefinitions[1].Name != "Service" || !strings.Contains(rows, "v1.toys.example.com default/toys True") || !strings.Contains(rows, "v1.apps Local True") {
		t.Errorf("%+v", rows)
	}
}

// Whether an extension is there is told with Kubernetes' reasons, and nobody is sent to one that is not.
func TestExtensionsThatAreNotThere(t *testing.T) {
	x := toyshop(t)
	services := x.client().CoreV1().Services("default")
	away := func() {
		t.Helper()
		if code, body, _ := x.asks(x.config, "GET", toysPath+"/namespaces/default/toys", ""); code != 503 || !strings.Contains(body, "service unavailable") {
			t.Errorf("%d %s", code, body)
		}
	}
	svc, err := services.Get(t.Context(), "toys", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := services.Delete(t.Context(), "toys", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if code, body := x.registers(x.registration(nil)); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	x.awaits("False", "ServiceNotFound")
	away()
	if groups, err := discovery.NewDiscoveryClientForConfigOrDie(x.config).ServerGroups(); err != nil || !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == "toys.example.com" }) {
		t.Errorf("%+v, %v", groups, err)
	}
	if _, _, err := discovery.NewDiscoveryClientForConfigOrDie(x.config).ServerGroupsAndResources(); !discovery.IsGroupDiscoveryFailedError(err) {
		t.Errorf("a client is not told that there may be more: %v", err)
	}
	spec := svc.Spec
	spec.ClusterIP, spec.ClusterIPs = "", nil
	spec.Ports = []corev1.ServicePort{{Name: "https", Port: 444, TargetPort: intstr.FromInt32(8443)}}
	x.service("toys", spec)
	x.awaits("False", "ServicePortError")
	patch := func(body string) {
		t.Helper()
		if _, err := services.Patch(t.Context(), "toys", types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch(`{"spec":{"selector":{"app":"nobody"},"ports":[{"name":"https","port":443,"targetPort":8443}]}}`)
	x.awaits("False", "MissingEndpoints")
	x.set(func() { x.sick = true })
	patch(`{"spec":{"selector":{"app":"toys"}}}`)
	x.awaits("False", "FailedDiscoveryCheck")
	if said := x.availability().Message; !strings.Contains(said, "bad status from https://toys.default.svc"+toysPath+": 500") {
		t.Errorf("%s", said)
	}
	away()
	x.set(func() { x.sick = false })
	x.awaits("True", "Passed")
	// Another one is believed for its certificate: nobody is shown to a server that has none of the right name.
	_, other := certificateFor(t, "toys.default.svc")
	raw, _ := json.Marshal(map[string]any{"spec": map[string]any{"caBundle": other}})
	c := dynamic.NewForConfigOrDie(x.config).Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	if _, err := c.Patch(t.Context(), "v1.toys.example.com", types.MergePatchType, raw, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	x.awaits("False", "FailedDiscoveryCheck")
	if said := x.availability().Message; !strings.Contains(said, "x509: certificate signed by unknown authority") {
		t.Errorf("%s", said)
	}
	if err := c.Delete(t.Context(), "v1.toys.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := x.asks(x.config, "GET", toysPath+"/namespaces/default/toys", ""); code != 404 {
		t.Errorf("gone: %d", code)
	}
	until(t, "discovery without it", func() bool {
		groups, err := discovery.NewDiscoveryClientForConfigOrDie(x.config).ServerGroups()
		return err == nil && !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == "toys.example.com" })
	})
}

// What is served here is not given away, and what cannot be meant is refused where it stands.
func TestExtensionsThatCannotBe(t *testing.T) {
	x := toyshop(t)
	var all apiregistrationv1.APIServiceList
	if err := x.read(servicesPath, &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		own := all.Items[i]
		if own.Spec.Group == "" || own.Spec.Group == metricsv1beta1.GroupName {
			continue
		}
		o := x.registration(func(s *apiregistrationv1.APIServiceSpec) { s.Group, s.Version = own.Spec.Group, own.Spec.Version })
		o.Name = own.Name
		if code, body := x.registers(o); code != 409 || !strings.Contains(body, "already exists") {
			t.Errorf("%s: %d %s", own.Name, code, body)
		}
	}
	if code, body, _ := x.asks(x.config, "DELETE", servicesPath+"/"+all.Items[1].Name, ""); code != 403 || !strings.Contains(body, "Stave serves this group and version itself") {
		t.Errorf("%d %s", code, body)
	}
	for want, change := range map[string]func(*apiregistrationv1.APIServiceSpec){
		"spec.service: Required":                                          func(s *apiregistrationv1.APIServiceSpec) { s.Service, s.CABundle = nil, nil },
		"spec.service.name: Required":                                     func(s *apiregistrationv1.APIServiceSpec) { s.Service.Name = "" },
		"spec.service.namespace: Required":                                func(s *apiregistrationv1.APIServiceSpec) { s.Service.Namespace = "" },
		"spec.insecureSkipTLSVerify: Invalid value: true: may not be":     func(s *apiregistrationv1.APIServiceSpec) { s.InsecureSkipTLSVerify = true },
		"spec.groupPriorityMinimum: Invalid value: 0: must be positive":   func(s *apiregistrationv1.APIServiceSpec) { s.GroupPriorityMinimum = 0 },
		"spec.versionPriority: Invalid value: 1001: must be positive":     func(s *apiregistrationv1.APIServiceSpec) { s.VersionPriority = 1001 },
		"spec.caBundle: Invalid value":                                    func(s *apiregistrationv1.APIServiceSpec) { s.CABundle = []byte("no") },
		"must be `spec.version+\\\".\\\"+spec.group`: \\\"v2.toys":        func(s *apiregistrationv1.APIServiceSpec) { s.Version = "v2" },
		"spec.service.port: Invalid value: 0: port is not valid: must be": func(s *apiregistrationv1.APIServiceSpec) { s.Service.Port = new(int32) },
	} {
		if code, body := x.registers(x.registration(change)); code != 422 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", want, code, body)
		}
	}
}

// What a newer Stave serves itself is its own, although the log holds an APIService that gave it to somebody else before.
func TestExtensionsOfWhatCameToBeServed(t *testing.T) {
	x := toyshop(t)
	o := x.registration(func(s *apiregistrationv1.APIServiceSpec) { s.Group = "apps" })
	o.Name = "v1.apps"
	k := events.Key{Resource: events.APIServices, Name: o.Name}
	made, err := x.loop.Submit(t.Context(), run.Request{Actor: "test", ID: "older", Key: k, Decide: func(projections.State, time.Time) ([]reconcilers.Draft, error) {
		return []reconcilers.Draft{reconcilers.Create(k, events.Created{Object: events.MustBody(o)})}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.view.WaitDurable(t.Context(), made[0].Seq); err != nil {
		t.Fatal(err)
	}
	var all apiregistrationv1.APIServiceList
	if err := x.read(servicesPath, &all); err != nil {
		t.Fatal(err)
	}
	all.Items = slices.DeleteFunc(all.Items, func(s apiregistrationv1.APIService) bool { return s.Name != "v1.apps" })
	if len(all.Items) != 1 || all.Items[0].Spec.Service == nil || all.Items[0].Status.Conditions[0].Reason != "Local" {
		t.Errorf("%+v", all.Items)
	}
	if code, body, _ := x.asks(x.config, "GET", "/apis/apps/v1/namespaces/default/deployments", ""); code != 200 || !strings.Contains(body, "DeploymentList") || x.last() != nil {
		t.Errorf("%d %s", code, body)
	}
	if err := x.client().RESTClient().Get().AbsPath("/apis/apps/v1").Do(t.Context()).Error(); err != nil || x.last() != nil {
		t.Errorf("%v", err)
	}
}

// Who asks is asked for their rights here, before anybody else hears of it.
func TestExtensionsAreGuarded(t *testing.T) {
	x := opened(t)
	ann := x.user("ann", "kids")
	toy := func() error {
		return ann.RESTClient().Get().AbsPath(toysPath, "namespaces/default/toys/bear").Do(t.Context()).Error()
	}
	if err := toy(); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `cannot get resource "toys" in API group "toys.example.com" in the namespace "default"`) {
		t.Errorf("%v", err)
	}
	if x.last() != nil {
		t.Errorf("heard %s", x.last().URL)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "player"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{"toys.example.com"}, Resources: []string{"toys"}}}}
	if _, err := x.client().RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	x.binds("default", "player", "ann")
	if err := toy(); err != nil {
		t.Errorf("%v", err)
	}
	heard := x.last()
	if heard == nil || heard.Header.Get("X-Remote-User") != "ann" || !slices.Equal(heard.Header.Values("X-Remote-Group"), []string{"kids", "system:authenticated"}) {
		t.Fatalf("%+v", heard)
	}
	if err := ann.RESTClient().Delete().AbsPath(toysPath, "namespaces/default/toys/bear").Do(t.Context()).Error(); !apierrors.IsForbidden(err) {
		t.Errorf("%v", err)
	}
	anyone := rest.AnonymousClientConfig(x.config)
	if code, _, _ := x.asks(anyone, "GET", toysPath+"/namespaces/default/toys", ""); code != 401 {
		t.Errorf("nobody: %d", code)
	}
	if x.last() != heard {
		t.Errorf("heard %s", x.last().URL)
	}
}

func jsonOf(t *testing.T, o any) string {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
