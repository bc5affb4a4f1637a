package plan

import (
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// unseen is how long a request may be under way of which the node's row says nothing: then somebody has taken it away, and
// another one is made.
const unseen = time.Minute

// Cert is what a node has, and waits for, of one certificate of a pod. It is in memory alone, as the key is: an agent that
// was started again asks for all of them anew.
type Cert struct {
	Asked     string    // the request under way, empty when none is
	Since     time.Time // of that request
	Have      string    // the request whose certificate is there, empty when none is
	RefreshAt time.Time // when another one is asked for
	Refused   string    // why there will never be one, in Kubernetes' words
	Retry     Retry     // of asking
}

// AskCertificate makes a key, and a request for its certificate.
type AskCertificate struct{ Place projections.CertPlace }

// TakeCertificate takes what became of a request.
type TakeCertificate struct {
	Place   projections.CertPlace
	Request string
}

func (AskCertificate) op()  {}
func (TakeCertificate) op() {}

// String says for whom.
func (a AskCertificate) String() string {
	return fmt.Sprintf("ask for the certificate of volume %s, source %d", a.Place.Volume, a.Place.Source)
}

// String says which.
func (t TakeCertificate) String() string {
	return fmt.Sprintf("take what became of %s for volume %s, source %d", t.Request, t.Place.Volume, t.Place.Source)
}

// Certify is the pod with another knowledge of one of its certificates.
func (o Observed) Certify(at projections.CertPlace, edit func(*Cert)) Observed {
	o.Certs = maps.Clone(o.Certs)
	if o.Certs == nil {
		o.Certs = map[projections.CertPlace]Cert{}
	}
	c := o.Certs[at]
	edit(&c)
	o.Certs[at] = c
	return o
}

// certify plans for the certificates of a pod that is not over: each is asked for, taken when it was issued, and asked for
// again in time. What was denied, or failed, stays so.
func (p *planner) certify() {
	for at := range projections.CertSources(&p.row.Pod.Spec) {
		switch c := p.o.Certs[at]; {
		case c.Asked != "":
			p.awaited(at, c)
		case c.Refused != "":
		case c.Have != "" && c.RefreshAt.After(p.now):
			p.wake(c.RefreshAt)
		case p.waits(c.Retry):
			p.wake(c.Retry.Until)
		default:
			p.do(AskCertificate{at})
		}
	}
}

func (p *planner) awaited(at projections.CertPlace, c Cert) {
	switch d, ok := p.row.Certificates[c.Asked]; {
	case ok && d.State != "":
		p.do(TakeCertificate{at, c.Asked})
	case ok:
	case p.before(c.Since.Add(unseen), unseen):
		p.wake(c.Since.Add(unseen))
	default:
		p.do(AskCertificate{at})
	}
}

// Refusal is why a request ended without a certificate, in Kubernetes' words; empty when one was issued.
func Refusal(d projections.CertificateData) string {
	switch d.State {
	case "Denied", "Failed":
		return fmt.Sprintf("PodCertificateRequest was permanently %s: reason=%q message=%q", map[string]string{"Denied": "denied", "Failed": "failed"}[d.State], d.Reason, d.Message)
	}
	return ""
}

// uncertified says which volume has to wait for a certificate, and why.
func (p *planner) uncertified() error {
	for at, src := range projections.CertSources(&p.row.Pod.Spec) {
		c := p.o.Certs[at]
		switch {
		case c.Have != "":
		case c.Refused != "":
			return MountError(at.Volume, fmt.Errorf("%s", c.Refused))
		case c.Retry.Message != "":
			return MountError(at.Volume, fmt.Errorf("ask for a certificate: %s", c.Retry.Message))
		default:
			return MountError(at.Volume, fmt.Errorf("credential bundle is not issued yet: signer %s was asked", src.SignerName))
		}
	}
	return nil
}

// fingerprint is that of all that has to be written, the certificates too.
func (p *planner) fingerprint() string {
	s := Fingerprint(p.row, p.node)
	for at := range projections.CertSources(&p.row.Pod.Spec) {
		s += fmt.Sprintf(" %s/%d:%s", at.Volume, at.Source, p.o.Certs[at].Have)
	}
	return s
}

// HasCertificates says whether any of a pod's volumes holds one.
func HasCertificates(spec *corev1.PodSpec) bool {
	for range projections.CertSources(spec) {
		return true
	}
	return false
}

// Certified says whether a volume's certificates are all there, in a row that was filled with them.
func Certified(row *projections.DesiredPod, v corev1.Volume) bool {
	for at := range projections.CertSources(&corev1.PodSpec{Volumes: []corev1.Volume{v}}) {
		if _, ok := row.Keys[at]; !ok {
			return false
		}
	}
	return true
}

// certFiles are a key and its certificates as files. A row that is only looked at has none: they are put into it when the
// volume is written.
func certFiles(pair projections.KeyPair, src *corev1.PodCertificateProjection, mode uint32) []File {
	var out []File
	add := func(path string, data ...[]byte) {
		if path == "" {
			return
		}
		f := File{Path: path, Mode: mode}
		for _, d := range data {
			f.Data = append(f.Data, d...)
		}
		out = append(out, f)
	}
	add(src.CredentialBundlePath, pair.Key, pair.Chain)
	add(src.KeyPath, pair.Key)
	add(src.CertificateChainPath, pair.Chain)
	return out
}
