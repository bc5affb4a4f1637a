package projections

import (
	"encoding/json"
	"iter"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// CertPlace is a source of a certificate among a pod's volumes.
type CertPlace struct {
	Volume string
	Source int // which of the volume's, from 0
}

// KeyPair is a key and the certificate that was issued to it, as PEM; the key is a secret.
type KeyPair struct{ Key, Chain []byte }

// CertificateData is what became of a request for a certificate of a pod; the zero value waits.
type CertificateData struct {
	State           string    `json:"state,omitempty"` // Issued, Denied, Failed
	Reason, Message string    `json:",omitempty"`
	Chain           string    `json:"chain,omitempty"`
	RefreshAt       time.Time `json:"refreshAt,omitzero"`
	NotAfter        time.Time `json:"notAfter,omitzero"`
}

// CertSources walks the sources of certificates in a pod's volumes, in their order.
func CertSources(spec *corev1.PodSpec) iter.Seq2[CertPlace, *corev1.PodCertificateProjection] {
	return func(yield func(CertPlace, *corev1.PodCertificateProjection) bool) {
		for i := range spec.Volumes {
			p := spec.Volumes[i].Projected
			if p == nil {
				continue
			}
			for j := range p.Sources {
				if src := p.Sources[j].PodCertificate; src != nil && !yield(CertPlace{spec.Volumes[i].Name, j}, src) {
					return
				}
			}
		}
	}
}

// CertSource finds one; nil when the pod has none there.
func CertSource(spec *corev1.PodSpec, at CertPlace) *corev1.PodCertificateProjection {
	for place, src := range CertSources(spec) {
		if place == at {
			return src
		}
	}
	return nil
}

// fillCertificates gives a node's row what became of the node's requests for the pod. The row is as new as the newest of them.
func (s State) fillCertificates(d *DesiredPod) {
	for range CertSources(&d.Pod.Spec) {
		for o := range s.List(events.PodCertRequests, d.Pod.Namespace) {
			spec := &As[*certificatesv1.PodCertificateRequest](o).Spec
			if events.UID(spec.PodUID) != d.UID || string(spec.NodeName) != d.Pod.Spec.NodeName {
				continue
			}
			if d.Certificates == nil {
				d.Certificates = map[string]CertificateData{}
			}
			d.Certificates[o.Key.Name] = certificateData(o)
			d.Position = max(d.Position, o.Position)
		}
		return
	}
}

func certificateData(o *Object) CertificateData {
	var st certificatesv1.PodCertificateRequestStatus
	if len(o.Status) == 0 || json.Unmarshal(o.Status, &st) != nil {
		return CertificateData{} // admission lets in what can be read
	}
	var d CertificateData
	for _, c := range st.Conditions {
		if c.Status == metav1.ConditionTrue {
			d.State, d.Reason, d.Message = c.Type, c.Reason, c.Message
		}
	}
	if d.State == certificatesv1.PodCertificateRequestConditionTypeIssued && st.BeginRefreshAt != nil && st.NotAfter != nil {
		d.Chain, d.RefreshAt, d.NotAfter = st.CertificateChain, st.BeginRefreshAt.Time, st.NotAfter.Time
	}
	return d
}

// certified is the pod that a change of a request for a certificate concerns, if a node has it.
func (s State) certified(c Change) *Pod {
	o := c.After
	if o == nil {
		o = c.Before
	}
	if o == nil {
		return nil
	}
	spec := &As[*certificatesv1.PodCertificateRequest](o).Spec
	p, ok := s.PodOf(events.Key{Resource: events.Pods, Namespace: c.Key.Namespace, Name: spec.PodName})
	if !ok || p.UID != events.UID(spec.PodUID) || p.Node == "" || p.Node != string(spec.NodeName) {
		return nil
	}
	return p
}
