package kube_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// rough sends a request as it is written, and gives the code and the Status, if it is one.
func rough(t testing.TB, c *rest.Config, method, path, contentType string, body []byte) (int, metav1.Status) {
	t.Helper()
	transport, err := rest.TransportFor(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.Host+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = "//" + strings.TrimPrefix(c.Host, "https://") + path // as it is, whatever it is
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, metav1.Status{Message: err.Error()} // the client itself refuses to send it, or the server cut it off
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		t.Errorf("%s %s: read the answer: %v", method, path, err)
	}
	var st metav1.Status
	_ = json.Unmarshal(text, &st) // others are no Status
	return answer.StatusCode, st
}

const configMapsPath = "/api/v1/namespaces/default/configmaps"

func TestBrokenBodiesAreToldInWords(t *testing.T) {
	h := open(t)
	if _, err := h.client().CoreV1().ConfigMaps("default").Create(t.Context(), configMap("c", map[string]string{"a": "b"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var copies []string // each doubles what there is
	for i := range 22 {
		copies = append(copies, fmt.Sprintf(`{"op":"copy","from":"/data","path":"/data/x%d"}`, i))
	}
	deep := strings.Repeat(`{"data":`, 20_000) + "1" + strings.Repeat("}", 20_000)
	for name, x := range map[string]struct {
		method, path, contentType, body string
		code                            int
		words                           string
	}{
		"no JSON":             {"POST", configMapsPath, "application/json", "{", 400, "the object provided is unrecognized"},
		"nothing":             {"POST", configMapsPath, "application/json", "", 400, ""},
		"another kind":        {"POST", configMapsPath, "application/json", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`, 400, "Secret in version \"v1\" cannot be handled as a ConfigMap"},
		"another type":        {"POST", configMapsPath, "application/json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":[1]}`, 400, "cannot unmarshal array"},
		"no kind that is":     {"POST", configMapsPath, "application/json", `{"apiVersion":"v9","kind":"Nothing"}`, 400, "no kind \"Nothing\""},
		"another namespace":   {"POST", configMapsPath, "application/json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b"}}`, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		"too deep":            {"POST", configMapsPath, "application/json", deep, 400, ""},
		"broken protobuf":     {"POST", configMapsPath, "application/vnd.kubernetes.protobuf", "k8s\x00\xff\xff\xff", 400, ""},
		"an unknown form":     {"POST", configMapsPath, "application/tar", "x", 415, ""},
		"a patch of no form":  {"PATCH", configMapsPath + "/c", "application/json", "{}", 415, ""},
		"no JSON patch":       {"PATCH", configMapsPath + "/c", "application/json-patch+json", `{"op":"x"}`, 400, ""},
		"a JSON patch of odd": {"PATCH", configMapsPath + "/c", "application/json-patch+json", `[{"op":"odd","path":"/data"}]`, 422, ""},
		"a path that is not":  {"PATCH", configMapsPath + "/c", "application/json-patch+json", `[{"op":"remove","path":"/data/none/of/it"}]`, 422, ""},
		"no merge patch":      {"PATCH", configMapsPath + "/c", "application/merge-patch+json", `[]`, 400, ""},
		"too many operations": {"PATCH", configMapsPath + "/c", "application/json-patch+json", "[" + strings.TrimSuffix(strings.Repeat(`{"op":"test","path":"/kind","value":"ConfigMap"},`, 10_001), ",") + "]", 413, ""},
		"copies of copies":    {"PATCH", configMapsPath + "/c", "application/json-patch+json", "[" + strings.Join(copies, ",") + "]", 422, ""},
		"too large":           {"POST", configMapsPath, "application/json", `{"x":"` + strings.Repeat("y", 3<<20) + `"}`, 413, "limit is 3145728"},
		"no lease":            {"PATCH", "/apis/coordination.k8s.io/v1/namespaces/default/leases/a", "application/apply-patch+yaml", "a: [", 400, ""},
	} {
		code, st := rough(t, h.config, x.method, x.path+"?fieldManager=m", x.contentType, []byte(x.body))
		if code != x.code || !strings.Contains(st.Message, x.words) || st.Status != metav1.StatusFailure {
			t.Errorf("%s: %d %+v", name, code, st)
		}
	}
	if code, _ := rough(t, h.config, "GET", configMapsPath, "", nil); code != http.StatusOK {
		t.Errorf("afterwards: %d", code)
	}
}

// A client may say how long it waits: what cannot be read is refused in Kubernetes' words, and an answer that comes too late is
// none.
func TestTimeOfRequests(t *testing.T) {
	h := open(t)
	for timeout, code := range map[string]int{"": 200, "3m": 200, "0s": 200, "-1s": 200, "30s": 200, "invalid": 400, "5": 400} {
		for _, path := range []string{"/version", configMapsPath} {
			if got, st := rough(t, h.config, "GET", path+"?timeout="+timeout, "", nil); got != code || code == 400 && !strings.HasPrefix(st.Message, "invalid timeout specified in the request URL - ") {
				t.Errorf("%s in %q: %d, %s", path, timeout, got, st.Message)
			}
		}
	}
	body := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"late"}}`)
	if got, st := rough(t, h.config, "POST", configMapsPath+"?timeout=1ns", "application/json", body); got != 504 {
		t.Errorf("a nanosecond: %d, %s", got, st.Message)
	}
}

func TestPathTricks(t *testing.T) {
	h := open(t)
	for path, codes := range map[string][]int{
		"/api/v1/namespaces/default/configmaps/../secrets":      {404, 400},
		"/api/v1/namespaces/default/configmaps/..%2f..%2fpods":  {404, 400},
		"/api/v1/namespaces/default/configmaps/%2e%2e/secrets":  {404, 400},
		"/api/v1/namespaces/default/configmaps/a%00b":           {404, 400},
		"//api//v1//namespaces":                                 {404, 400, 301, 307},
		"/api/v1/namespaces/default/configmaps/a/b/c/d":         {404, 400},
		"/apis/apps/v1/../../../etc/passwd":                     {404, 400},
		"/openapi/../metrics/../../x":                           {404, 400, 301, 307},
		"/healthz/../api/v1/secrets":                            {404, 400, 301, 307},
		"/version/../api/v1/secrets":                            {404, 400, 301, 307},
		"/api/v1/namespaces/default/configmaps?limit=x":         {400},
		"/api/v1/namespaces/default/configmaps?continue=%ff":    {400},
		"/api/v1/namespaces/default/configmaps?labelSelector=!": {400},
		"/api/v1/namespaces/default/configmaps?fieldSelector=a": {400},
		"/api/v1/configmaps?resourceVersion=-1":                 {400},
		"/apis/coordination.k8s.io/v1/leases?resourceVersion=x": {400},
		"/apis/coordination.k8s.io/v1/leases?continue=AAAA":     {400},
	} {
		code, st := rough(t, h.config, "GET", path, "", nil)
		ok := false
		for _, c := range codes {
			ok = ok || c == code
		}
		if !ok {
			t.Errorf("%s: %d %+v", path, code, st)
		}
	}
}

// Public paths are public by their exact names: nothing behind them is.
func TestPublicPathsLeadNowhereElse(t *testing.T) {
	h := open(t)
	h.config = rest.AnonymousClientConfig(h.config)
	for _, path := range []string{"/healthz/../api/v1/secrets", "/version/../../api/v1/secrets", "/livez/%2e%2e/api/v1/secrets", "/readyz/..%2fapi/v1/secrets", "//healthz/../metrics", "/metrics", "/api/v1/secrets"} {
		if code, st := rough(t, h.config, "GET", path, "", nil); code == http.StatusOK {
			t.Errorf("%s: %d %+v", path, code, st)
		}
	}
}

// Who connects and says nothing, or speaks another language, is cut off and holds
// nobody up.
func TestConnectionsThatSayNothing(t *testing.T) {
	h := open(t)
	address := strings.TrimPrefix(h.config.Host, "https://")
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	other, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := io.WriteString(other, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if code, _ := rough(t, h.config, "GET", configMapsPath, "", nil); code != http.StatusOK {
		t.Errorf("beside them: %d", code)
	}
	for name, c := range map[string]net.Conn{"silent": silent, "no TLS": other} {
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: not cut off: %v", name, err)
		}
	}
}

// A patch that Kubernetes' own merge breaks on is answered, and not with where it broke.
func TestWhatBreaksTellsNoStack(t *testing.T) {
	h := open(t)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := h.client().CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Without a merge key the elements of an order are compared as they are, and maps cannot be.
	code, st := rough(t, h.config, "PATCH", "/api/v1/namespaces/default/services/s", "application/strategic-merge-patch+json",
		[]byte(`{"spec":{"$setElementOrder/externalIPs":[{"a":1}],"externalIPs":[{"a":1}]}}`))
	if code < http.StatusBadRequest || strings.Contains(st.Message, "goroutine") || st.Status != metav1.StatusFailure {
		t.Errorf("%d: %+v", code, st)
	}
}
