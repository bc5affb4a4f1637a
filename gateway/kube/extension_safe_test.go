package kube_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

const bear = toysPath + "/namespaces/default/toys/bear"

// sends is one request of the admin with headers as they are written, over HTTP/1.
func (x *toys) sends(method, path string, header http.Header) (int, string, http.Header) {
	x.Helper()
	config, err := rest.TLSConfigFor(x.config)
	if err != nil {
		x.Fatal(err)
	}
	c, err := tls.Dial("tcp", "127.0.0.1:"+x.port, config)
	if err != nil {
		x.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, path)
	_ = header.Write(c)
	fmt.Fprint(c, "\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		x.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		x.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// smuggled are headers by which a client could be taken for somebody else, or for one who asks something else.
var smuggled = http.Header{"X-Remote-User": {"root"}, "X-Remote-Group": {"system:masters", "wheel"}, "X-Remote-Uid": {"0"}, "X-Remote-Extra-Scopes": {"all"}, "x-remote-user": {"root"}, "X_Remote_User": {"root"}, "X-Remote_Group": {"wheel"},
	"X_REMOTE-EXTRA_Scopes": {"all"}, "Proxy-Authorization": {"Basic eDp5"}, "Cookie": {"session=1"}, "X-Http-Method-Override": {"DELETE"}, "X_HTTP_Method_Override": {"DELETE"}, "X-Original-Url": {"/apis"},
	"X-Rewrite-Url": {"/apis"}, "X-Forwarded-Host": {"evil"}, "Forwarded": {"for=evil"}, "X-Forwarded-For": {"10.0.0.1"}}

// foreign are the values of a request that only a smuggler can have brought there.
func foreign(r *http.Request) (out []string) {
	for name, values := range r.Header {
		for _, v := range values {
			if slices.Contains([]string{"root", "wheel", "0", "all", "Basic eDp5", "session=1", "DELETE", "/apis", "evil", "for=evil", "10.0.0.1"}, v) || strings.Contains(v, "10.0.0.1") {
				out = append(out, name+": "+v)
			}
		}
	}
	return out
}

// What a client writes of who it is never comes to an extension, however it is written; who it is always does.
func TestExtensionsBelieveNoClient(t *testing.T) {
	x := opened(t)
	for _, connection := range []string{"", "X-Remote-User, X-Remote-Group", "x-remote-user", "close, X-Remote-User, X-Remote-Extra-Scopes", "keep-alive, Host, X-Remote-Group"} {
		h := smuggled.Clone()
		if connection != "" {
			h.Set("Connection", connection)
		}
		h.Set("Trailer", "X-Remote-User")
		if code, body, _ := x.sends("GET", bear, h); code != 200 {
			t.Fatalf("%s: %d %s", connection, code, body)
		}
		heard := x.last()
		if found := foreign(heard); len(found) > 0 {
			t.Errorf("with connection %q: %q", connection, found)
		}
		if who, in := heard.Header.Values("X-Remote-User"), heard.Header.Values("X-Remote-Group"); !slices.Equal(who, []string{"admin"}) || !slices.Equal(in, []string{"system:masters", "system:authenticated"}) {
			t.Errorf("with connection %q: taken for %q in %q", connection, who, in)
		}
		if heard.Host != "toys.default.svc" || len(heard.Trailer) > 0 {
			t.Errorf("to %s with %v", heard.Host, heard.Trailer)
		}
	}
}

// A token stays here, and whom it is of goes on with all that is known of them.
func TestExtensionsSeeNoTokens(t *testing.T) {
	x := opened(t)
	token := x.robot("default", "robot", authenticationv1.TokenRequestSpec{})
	x.binds("default", "cluster-admin", "system:serviceaccount:default:robot") // as a user, which it is too
	c := rest.AnonymousClientConfig(x.config)
	c.BearerToken = token
	if code, body, _ := x.asks(c, "GET", bear, ""); code != 200 || !strings.Contains(body, "token=false") {
		t.Fatalf("%d %s", code, body)
	}
	h := x.last().Header
	if h.Get("X-Remote-User") != "system:serviceaccount:default:robot" || !slices.Contains(h.Values("X-Remote-Group"), "system:serviceaccounts:default") || h.Get("X-Remote-Uid") == "" ||
		!strings.HasPrefix(h.Get("X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id"), "JTI=") {
		t.Errorf("%v", h)
	}
	header := http.Header{"Sec-WebSocket-Protocol": {"base64url.bearer.authorization.k8s.io." + token + ", v4.channel.k8s.io"}}
	ws, err := x.socketFrom(bear, "", header)
	if err != nil {
		t.Fatal(err)
	}
	_ = ws.Close()
	if spoken := x.last().Header.Get("Sec-WebSocket-Protocol"); spoken != "v4.channel.k8s.io" {
		t.Errorf("%s", spoken)
	}
}

// Whoever may not impersonate somebody here does not there; whoever may is that one there, and has nothing left of their own.
func TestExtensionsAndImpersonation(t *testing.T) {
	x := opened(t)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "player"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"toys.example.com"}, Resources: []string{"*"}}}}
	if _, err := x.client().RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	x.binds("default", "player", "ann")
	x.binds("default", "player", "bob")
	ann := x.as("ann")
	as := func(who rest.ImpersonationConfig) (int, string) {
		c := rest.CopyConfig(ann)
		c.Impersonate = who
		code, body, _ := x.asks(c, "GET", bear, "")
		return code, body
	}
	for _, who := range []rest.ImpersonationConfig{{UserName: "bob"}, {UserName: "ann", Groups: []string{"system:masters"}}, {UserName: "system:serviceaccount:default:default"}, {UserName: "ann", UID: "1"}, {UserName: "ann", Extra: map[string][]string{"a": {"b"}}}} {
		if code, body := as(who); code != 403 || !strings.Contains(body, "cannot impersonate") {
			t.Errorf("%+v: %d %s", who, code, body)
		}
	}
	if x.last() != nil {
		t.Fatalf("heard of %v", x.last().Header)
	}
	c := rest.CopyConfig(x.config)
	c.Impersonate = rest.ImpersonationConfig{UserName: "bob", Groups: []string{"kids"}, UID: "7", Extra: map[string][]string{"Scopes": {"some"}}}
	if code, body, _ := x.asks(c, "GET", bear, ""); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	h := x.last().Header
	if !slices.Equal(h.Values("X-Remote-User"), []string{"bob"}) || !slices.Equal(h.Values("X-Remote-Group"), []string{"kids", "system:authenticated"}) || h.Get("X-Remote-Uid") != "7" || h.Get("X-Remote-Extra-Scopes") != "some" || h.Get("Impersonate-User") != "" {
		t.Errorf("%v", h)
	}
	// Around a name that is written into a header spaces are lost: this one would be taken for bob.
	c.Impersonate = rest.ImpersonationConfig{UserName: "bob", Extra: map[string][]string{"scopes": {"some"}}}
	heard := x.last()
	if code, _ := as(rest.ImpersonationConfig{UserName: " bob"}); code != 403 {
		t.Errorf("%d", code)
	}
	if x.last() != heard {
		t.Errorf("heard of %v", x.last().Header)
	}
}

// A path that two servers could read differently is passed on to none.
func TestExtensionsHearPlainPathsOnly(t *testing.T) {
	x := opened(t)
	for _, path := range []string{toysPath + "/namespaces/default/../kube-system/toys/bear", toysPath + "/namespaces/default/%2e%2e/kube-system/toys/bear", toysPath + "/namespaces/default/toys/..%2f..%2f..%2fkube-system%2ftoys%2fbear",
		toysPath + "/namespaces/default/toys/a%2fb", toysPath + "//namespaces/kube-system/toys", toysPath + "/namespaces//toys", toysPath + "/./toys", toysPath + "/namespaces/default/..;/kube-system/toys", toysPath + "/namespaces/default/..;a=b/toys",
		toysPath + "/namespaces/default\\..\\kube-system/toys", toysPath + "/namespaces/default%5c..%5ckube-system/toys", toysPath + "/namespaces/default/%252e%252e/kube-system/toys", toysPath + "/namespaces/default/toys/a%00b",
		toysPath + "/namespaces/default/toys/a%0d%0aX-Remote-User:%20root", "//apis/toys.example.com/v1/toys", "/apis//toys.example.com/v1/toys", "/apis/toys.example.com//v1/toys",
		"/openapi/v3" + toysPath + "/../../../../secrets", "/openapi/v3/" + toysPath} {
		if code, body, _ := x.sends("GET", path, http.Header{}); code < 400 || code >= 500 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if x.last() != nil {
		t.Errorf("heard %s", x.last().URL)
	}
	for _, method := range []string{"TRACE", "BREW", "PROPFIND"} {
		if code, body, _ := x.sends(method, bear, http.Header{}); code != 405 {
			t.Errorf("%s: %d %s", method, code, body)
		}
	}
	if x.last() != nil {
		t.Errorf("heard %s", x.last().Method)
	}
	for path, heard := range map[string]string{toysPath + "/toys/": toysPath + "/toys/", toysPath + "/namespaces/default/toys/a%20b": toysPath + "/namespaces/default/toys/a%20b", toysPath + "/toys?a=1;b=2&c=%0d%0a": toysPath + "/toys?c=%0D%0A"} {
		if code, body, _ := x.sends("GET", path, http.Header{}); code != 200 || x.last().URL.String() != heard {
			t.Errorf("%s: %d %s, heard %v", path, code, body, x.last())
		}
	}
}

// An extension answers who asked it, and nothing more: it sends nobody elsewhere and leaves nothing in their browser.
func TestExtensionsAnswerPlainly(t *testing.T) {
	x := opened(t)
	var elsewhere atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			elsewhere.Add(1)
			c.Close()
		}
	}()
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"https://" + l.Addr().String() + "/", "/api/v1/secrets", "//evil.example/"} {
			x.set(func() {
				x.answers = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", to); w.WriteHeader(code) }
			})
			if got, body, head := x.sends("GET", bear, http.Header{}); got != 502 || head.Get("Location") != "" || !strings.Contains(body, "attempted to redirect") {
				t.Errorf("%d to %s: %d %s %v", code, to, got, body, head)
			}
		}
	}
	if elsewhere.Load() > 0 {
		t.Error("somebody was sent elsewhere")
	}
	x.set(func() {
		x.answers = func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"Set-Cookie", "Alt-Svc", "Strict-Transport-Security", "Clear-Site-Data", "Access-Control-Allow-Origin"} {
				w.Header().Set(name, "x")
			}
			fmt.Fprint(w, "fine")
		}
	})
	_, body, head := x.sends("GET", bear, http.Header{})
	for _, name := range []string{"Set-Cookie", "Alt-Svc", "Strict-Transport-Security", "Clear-Site-Data", "Access-Control-Allow-Origin"} {
		if head.Get(name) != "" {
			t.Errorf("%s: %s", name, head.Get(name))
		}
	}
	if body != "fine" || head.Get("Cache-Control") == "" {
		t.Errorf("%s %v", body, head)
	}
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A: b\n Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\nbad", "nonsense\r\n\r\n"} {
		x.set(func() {
			x.answers = func(w http.ResponseWriter, _ *http.Request) {
				c, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_, _ = io.WriteString(c, answer)
					c.Close()
				}
			}
		})
		code, body, head := x.sends("GET", bear, http.Header{})
		if head.Get("Set-Cookie") != "" || strings.Contains(body, "bad") || code != 200 && code != 503 {
			t.Errorf("%q: %d %s %v", answer, code, body, head)
		}
	}
}

// A stream is opened in the name of who asks; one that was not opened carries no second request, and none is opened in which a
// client could write requests of its own.
func TestExtensionsStream(t *testing.T) {
	x := opened(t)
	h := smuggled.Clone()
	h.Del("Cookie")
	ws, err := x.socketFrom(bear, "", h)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if err := ws.WriteMessage(websocket.TextMessage, []byte("you")); err != nil {
		t.Fatal(err)
	}
	if _, said, err := ws.ReadMessage(); err != nil || string(said) != "heard you" {
		t.Errorf("%s, %v", said, err)
	}
	heard := x.last()
	if found := foreign(heard); len(found) > 0 || !slices.Equal(heard.Header.Values("X-Remote-User"), []string{"admin"}) || heard.Header.Get("Connection") != "Upgrade" {
		t.Errorf("%q in %v", found, heard.Header)
	}
	for _, to := range []string{"h2c", "HTTP/2.0", "TLS/1.2", "websocket, h2c"} {
		if code, body, _ := x.sends("GET", bear, http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {to}, "Http2-Settings": {"AAMAAABkAAQAAP__"}}); code != 400 || !strings.Contains(body, "only upgrades") {
			t.Errorf("%s: %d %s", to, code, body)
		}
	}
	if code, _, _ := x.sends("GET", bear, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Origin": {"https://evil.example"}}); code != 403 {
		t.Errorf("from a page elsewhere: %d", code)
	}
	if x.last() != heard {
		t.Errorf("heard %v", x.last().Header)
	}
	x.set(func() {
		x.answers = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }
	})
	config, err := rest.TLSConfigFor(x.config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", "127.0.0.1:"+x.port, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET %s/second HTTP/1.1\r\nHost: a\r\nX-Remote-User: root\r\n\r\n", bear, bear)
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403") || strings.Count(string(answer), "HTTP/1.1") != 1 {
		t.Errorf("%s, %v", answer, err)
	}
	if strings.HasSuffix(x.last().URL.Path, "second") {
		t.Errorf("heard %s of %v", x.last().URL, x.last().Header)
	}
}

// By what extensions know this door nobody comes in here: so a request that is passed on to this door itself ends, and an
// extension cannot make itself anybody.
func TestThePassportIsNoWayIn(t *testing.T) {
	h := open(t)
	cert, err := h.front.Passing("front-proxy-client", nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := rest.TLSConfigFor(rest.AnonymousClientConfig(h.config))
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{*cert}
	req, err := http.NewRequestWithContext(t.Context(), "GET", h.config.Host+"/api/v1/secrets", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Remote-User", "admin")
	req.Header.Set("X-Remote-Group", "system:masters")
	resp, err := (&http.Transport{TLSClientConfig: config}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("%s", resp.Status)
	}
}

// Whoever may write a service does not come to what only this machine has.
func TestExtensionsAreNotThisMachine(t *testing.T) {
	x := toyshop(t)
	_, port, _ := net.SplitHostPort(x.server.Listener.Addr().String())
	var number int32
	_, _ = fmt.Sscan(port, &number)
	x.service("here", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"})
	o := x.registration(func(s *apiregistrationv1.APIServiceSpec) {
		s.Service.Name, s.Service.Port, s.CABundle, s.InsecureSkipTLSVerify = "here", &number, nil, true
	})
	code, body, head := x.asks(x.config, "POST", servicesPath, jsonOf(t, o))
	if code != 201 || !strings.Contains(strings.Join(head.Values("Warning"), " "), "insecureSkipTLSVerify") {
		t.Fatalf("%d %s %v", code, body, head)
	}
	x.awaits("False", "FailedDiscoveryCheck")
	if said := x.availability().Message; !strings.Contains(said, "is of this machine alone") {
		t.Errorf("%s", said)
	}
}
