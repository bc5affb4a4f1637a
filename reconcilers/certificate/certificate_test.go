package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// signed is a certificate that lasts until then, as a status has it.
func signed(t *testing.T, until time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// A request goes an hour after it was settled and a day after somebody should have said something, as in Kubernetes.
func TestRequestsGo(t *testing.T) {
	const said, never = 30 * time.Hour, 0
	for _, c := range []struct {
		condition string
		ends      time.Duration // of the certificate, after the request was made; 0: there is none
		lasts     time.Duration
	}{
		{"", 0, 24 * time.Hour},
		{"Other", 0, never},
		{"Denied", 0, said + time.Hour},
		{"Failed", 0, said + time.Hour},
		{"Approved", 0, said + 24*time.Hour},
		{"Approved", said + 100*time.Hour, said + time.Hour},
		{"Approved", said + 10*time.Minute, said + 10*time.Minute},
	} {
		k := events.Key{Resource: events.CertRequests, Name: "r"}
		w := stage.New()
		w.Apply(k, `{"spec":{"signerName":"kubernetes.io/kube-apiserver-client"}}`)
		o, _ := w.State.Get(k)
		made, certificate := o.Created.Time, ""
		if c.ends > 0 {
			certificate = signed(t, made.Add(c.ends))
		}
		if c.condition != "" {
			w.Do(reconcilers.WriteStatus(o, events.StatusWritten{Status: fmt.Appendf(nil, `{"certificate":%q,"conditions":[{"type":%q,"status":"True","lastUpdateTime":%q}]}`,
				certificate, c.condition, made.Add(said).Format(time.RFC3339))}))
		}
		if c.lasts == never {
			if d := (Reconciler{}).Decide(w.State, k, made.Add(10000*time.Hour)); len(d.Events) != 0 || !d.WakeAt.IsZero() {
				t.Errorf("%+v: %+v", c, d)
			}
			continue
		}
		before := Reconciler{}.Decide(w.State, k, made.Add(c.lasts-time.Minute))
		if len(before.Events) != 0 || before.WakeAt.Sub(made.Add(c.lasts)).Abs() > time.Second {
			t.Errorf("%+v: %+v, made at %s", c, before, made)
		}
		if after := (Reconciler{}).Decide(w.State, k, made.Add(c.lasts+time.Second)); len(after.Events) != 1 || after.Events[0].Type != events.TypeOf(events.CertRequests, events.VerbRemoved) {
			t.Errorf("%+v: %+v", c, after)
		}
	}
}

// A request for a pod's certificate goes after a quarter of an hour, whatever was said of it.
func TestRequestsOfPodsGo(t *testing.T) {
	for _, said := range []string{"", "Issued", "Denied"} {
		k := events.Key{Resource: events.PodCertRequests, Namespace: "default", Name: "r"}
		w := stage.New()
		w.Apply(k, `{"spec":{"signerName":"example.com/s"}}`)
		o, _ := w.State.Get(k)
		if said != "" {
			w.Do(reconcilers.WriteStatus(o, events.StatusWritten{Status: fmt.Appendf(nil, `{"conditions":[{"type":%q,"status":"True"}]}`, said)}))
		}
		end := o.Created.Time.Add(ofPods)
		if d := (Reconciler{}).Decide(w.State, k, end.Add(-time.Second)); len(d.Events) != 0 || !d.WakeAt.Equal(end) {
			t.Errorf("%q: %+v", said, d)
		}
		if d := (Reconciler{}).Decide(w.State, k, end); len(d.Events) != 1 || d.Events[0].Type != events.TypeOf(events.PodCertRequests, events.VerbRemoved) {
			t.Errorf("%q: %+v", said, d)
		}
	}
}
