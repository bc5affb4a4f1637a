package plan

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

func certRow() *projections.DesiredPod {
	row := envRow()
	row.Pod.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref("cfg")}},
		{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/s", KeyType: "ED25519", CredentialBundlePath: "all.pem", KeyPath: "key.pem", CertificateChainPath: "chain.pem"}}}}}}}
	row.ConfigMaps["cfg"] = projections.ConfigData{}
	return row
}

// A certificate's day: it is asked for, waited for with a word, taken, written, and asked for again in time, while the one
// that is there stays; a request that somebody takes away is made anew.
func TestCertificatesAreAskedForInTime(t *testing.T) {
	row, at := certRow(), projections.CertPlace{Volume: "v", Source: 1}
	o, now := Observed{Sandbox: true, Remains: true}, t0
	first := func() Op {
		t.Helper()
		d := Decide(row, o, testNode, now)
		if len(d.Ops) == 0 {
			return nil
		}
		return d.Ops[0]
	}
	asks := func(what, name string) {
		t.Helper()
		if op, ok := first().(AskCertificate); !ok || op.Place != at {
			t.Fatalf("%s: %v", what, first())
		}
		o = o.Certify(at, func(c *Cert) { c.Asked, c.Since = name, now })
	}
	asks("at first", "req-1")
	waiting := func(what, want string) {
		t.Helper()
		r, ok := first().(Report)
		if !ok || r.Facts[0].Reason != ContainerCreating || !strings.Contains(r.Facts[0].Message, want) {
			t.Fatalf("%s: %v", what, first())
		}
		o = o.Tell(r.Facts)
	}
	waiting("before anybody says a word", `MountVolume.SetUp failed for volume "v" : credential bundle is not issued yet: signer example.com/s was asked`)
	row.Certificates = map[string]projections.CertificateData{"req-1": {}}
	now = now.Add(time.Hour)
	if op := first(); op != nil {
		t.Errorf("while it is under way, however long: %v", op)
	}
	row.Certificates = nil
	asks("when it was taken away", "req-2")
	now = now.Add(unseen / 2)
	if d := Decide(row, o, testNode, now); len(d.Ops) > 0 || !d.WakeAt.Equal(now.Add(unseen/2)) {
		t.Errorf("before it shows: %v", d)
	}
	refresh := now.Add(time.Hour)
	row.Certificates = map[string]projections.CertificateData{"req-2": {State: "Issued", Chain: "C", RefreshAt: refresh}}
	if op, ok := first().(TakeCertificate); !ok || op != (TakeCertificate{at, "req-2"}) {
		t.Fatalf("when it was issued: %v", first())
	}
	o = o.Certify(at, func(c *Cert) { c.Asked, c.Have, c.RefreshAt = "", "req-2", refresh })
	write, ok := first().(WriteVolumes)
	if !ok {
		t.Fatalf("when it is there: %v", first())
	}
	o.Volumes = write.Fingerprint
	row.Keys = map[projections.CertPlace]projections.KeyPair{at: {Key: []byte("K"), Chain: []byte("C")}}
	files, err := Files(row, row.Pod.Spec.Volumes[0], testNode)
	if err != nil || listed(files) != "all.pem=KC 6;chain.pem=C 6;key.pem=K 6;" || !Secret(row.Pod.Spec.Volumes[0]) {
		t.Errorf("%q, %v", listed(files), err)
	}
	if _, begins := first().(Pull); !begins {
		t.Errorf("the pod begins: %v", first())
	}
	now = refresh
	asks("in time", "req-3")
	if want := (&planner{row: row, o: o, node: testNode}).fingerprint(); want != o.Volumes {
		t.Error("what is there is written again")
	}
	row.Certificates = map[string]projections.CertificateData{"req-3": {State: "Issued", Chain: "D", RefreshAt: refresh.Add(time.Hour)}}
	if _, ok := first().(TakeCertificate); !ok {
		t.Errorf("the new one: %v", first())
	}
	o = o.Certify(at, func(c *Cert) { c.Asked, c.Have, c.RefreshAt = "", "req-3", refresh.Add(time.Hour) })
	if _, ok := first().(WriteVolumes); !ok {
		t.Errorf("the new one is written: %v", first())
	}
}

// What was denied is said, and nobody asks again; what could not be asked is asked again after a pause.
func TestCertificatesThatNobodyGets(t *testing.T) {
	row, at := certRow(), projections.CertPlace{Volume: "v", Source: 1}
	for _, c := range []struct {
		cert Cert
		data projections.CertificateData
		want string
	}{
		{cert: Cert{Refused: Refusal(projections.CertificateData{State: "Denied", Reason: "No", Message: "not you"})},
			want: `MountVolume.SetUp failed for volume "v" : PodCertificateRequest was permanently denied: reason="No" message="not you"`},
		{cert: Cert{Retry: Retry{Failures: 1, Until: t0.Add(time.Second), Message: "no control plane"}}, want: "ask for a certificate: no control plane"},
	} {
		o := Observed{Sandbox: true, Remains: true, Certs: map[projections.CertPlace]Cert{at: c.cert}}
		d := Decide(row, o, testNode, t0)
		r, ok := d.Ops[0].(Report)
		if !ok || !strings.Contains(r.Facts[0].Message, c.want) {
			t.Errorf("%v, want %s", d, c.want)
		}
		if _, asks := Decide(row, o.Tell(r.Facts), testNode, t0.Add(time.Hour)).first().(AskCertificate); asks != (c.cert.Refused == "") {
			t.Errorf("%s: an hour later it asks again: %v", c.want, asks)
		}
	}
	if Refusal(projections.CertificateData{State: "Issued"}) != "" {
		t.Error("what was issued was refused")
	}
	// A pod that is over wants no other certificate.
	o := Observed{Sandbox: true, Remains: true, Volumes: "x", Certs: map[projections.CertPlace]Cert{at: {Have: "req-1", RefreshAt: t0}}}
	row.Pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	o.Known = map[string]Known{}
	for _, x := range row.Pod.Spec.Containers {
		o.Known[x.Name] = Known{Run: 1, Ended: true}
	}
	for _, op := range Decide(row, o, testNode, t0).Ops {
		if _, asks := op.(AskCertificate); asks {
			t.Error("it is asked for a pod that is over")
		}
	}
}

// first is the operation that is done next.
func (d Decision) first() Op {
	if len(d.Ops) == 0 {
		return nil
	}
	return d.Ops[0]
}
