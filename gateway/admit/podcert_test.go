package admit

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// A node gets requests made for what the pods that it has mount, and for nothing else; all but the key is the pod's.
func TestNodesCertifyTheirOwnPods(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	l.Node("n2", foldtest.Facts)
	l.Create(events.Key{Resource: events.Namespaces, Name: "default"}, `{}`)
	account := events.Key{Resource: events.Accounts, Namespace: "default", Name: "robot"}
	k, plain := foldtest.Key(events.Pods, "p"), foldtest.Key(events.Pods, "plain")
	l.Create(k, `{"spec":{"serviceAccountName":"robot","containers":[{"name":"c","image":"i"}],"volumes":[{"name":"e","emptyDir":{}},{"name":"v","projected":{"sources":[{"configMap":{"name":"c"}},`+
		`{"podCertificate":{"signerName":"example.com/s","keyType":"ED25519","maxExpirationSeconds":7200,"keyPath":"k","userAnnotations":{"example.com/a":"b"}}}]}}]}}`)
	l.Create(plain, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	l.Assign("n1", k, plain)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := l.State.Get(k)
	good := wire.CertifyRequest{Node: "n1", Pod: events.Ref{Key: k, UID: o.UID}, Volume: "v", Source: 1, Request: request}
	refused := func(want string, spoil func(*wire.CertifyRequest)) {
		t.Helper()
		r := good
		spoil(&r)
		if out, st := Certify(l.State, r, "", l.Now); st == nil || !strings.Contains(st.Message, want) || len(out.Drafts) > 0 {
			t.Errorf("%+v, want %s", st, want)
		}
	}
	refused(`serviceaccounts "robot" not found`, func(*wire.CertifyRequest) {})
	l.Create(account, `{}`)
	refused("it is no pod of node n2", func(r *wire.CertifyRequest) { r.Node = "n2" })
	refused("it is no pod of node n1", func(r *wire.CertifyRequest) { r.Pod.UID = "another" })
	refused("it is no pod of node n1", func(r *wire.CertifyRequest) { r.Pod.Key.Namespace = "kube-system" })
	refused("it mounts no certificate there", func(r *wire.CertifyRequest) { r.Source = 0 })
	refused("it mounts no certificate there", func(r *wire.CertifyRequest) { r.Volume = "e" })
	refused("it mounts no certificate there", func(r *wire.CertifyRequest) {
		other, _ := l.State.Get(plain)
		r.Pod = events.Ref{Key: plain, UID: other.UID}
	})
	refused("must be a valid PKCS#10 CSR", func(r *wire.CertifyRequest) { r.Request = []byte("x") })
	refused("invalid signature", func(r *wire.CertifyRequest) {
		r.Request = append([]byte(nil), r.Request...)
		r.Request[len(r.Request)-1] ^= 1
	})
	refused("elliptic public keys must use curve", func(r *wire.CertifyRequest) {
		weak, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
		r.Request, _ = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	})

	out, st := Certify(l.State, good, "1", l.Now)
	if st != nil || len(out.Drafts) != 1 {
		t.Fatalf("%+v, %+v", out, st)
	}
	l.Create(out.Result.Key, string(out.Drafts[0].Child.Body.Object))
	made, ok := l.State.Get(out.Result.Key)
	if !ok {
		t.Fatal("it is not there")
	}
	c := projections.As[*certificatesv1.PodCertificateRequest](made)
	sa, _ := l.State.Get(account)
	n, _ := l.State.Get(NodeKey("n1"))
	if s := c.Spec; s.SignerName != "example.com/s" || s.PodName != "p" || string(s.PodUID) != string(o.UID) || s.ServiceAccountName != "robot" || string(s.ServiceAccountUID) != string(sa.UID) ||
		s.NodeName != "n1" || string(s.NodeUID) != string(n.UID) || *s.MaxExpirationSeconds != 7200 || s.UnverifiedUserAnnotations["example.com/a"] != "b" {
		t.Errorf("%+v", s)
	}
	again, st := Certify(l.State, good, "2", l.Now)
	if st != nil || len(again.Drafts) != 0 || again.Result.Key != out.Result.Key {
		t.Errorf("the same again: %+v, %+v", again, st)
	}
	l.Delete(k, foldtest.Person, 30)
	refused("it is no pod of node n1 that shall run", func(*wire.CertifyRequest) {})
}
