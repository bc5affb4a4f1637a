package admit

import (
	"encoding/json"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// PartApproval is the door through which requests for certificates are approved and denied.
const PartApproval = "approval"

// Asker is who makes a request, as Kubernetes knows them.
type Asker struct {
	Name, UID string
	Groups    []string
	Extra     map[string][]string
}

// Masters may do everything, by their certificates alone: nobody gets such a one by asking.
const Masters = "system:masters"

// ask puts who asks for a certificate into what they ask, and refuses what nobody may ask for.
func (w *writing) ask() *refusal {
	c, ok := w.next.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil
	}
	who := w.r.Asker
	c.Spec.Username, c.Spec.UID, c.Spec.Groups, c.Spec.Extra = who.Name, who.UID, who.Groups, nil
	for k, v := range who.Extra { //stave:sorted each name is put once
		if c.Spec.Extra == nil {
			c.Spec.Extra = map[string]certificatesv1.ExtraValue{}
		}
		c.Spec.Extra[k] = v
	}
	switch c.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientSignerName:
		asked, err := manifest.CertificateRequest(c.Spec.Request)
		if err == nil && slices.Contains(asked.Subject.Organization, Masters) {
			return forbidden(w.key, "use of "+c.Spec.SignerName+" signer with "+Masters+" group is not allowed")
		}
	case certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName:
		w.warnings = append(w.warnings, "spec.signerName: nodes here have no certificates of their own: nobody signs it")
	}
	return nil
}

// carryAsked keeps what a request for a certificate asks, and of whom: an update of the
// Kubernetes API changes neither, whatever it says.
func (w *writing) carryAsked(before events.Object) {
	was, ok := before.(*certificatesv1.CertificateSigningRequest)
	next, is := w.next.(*certificatesv1.CertificateSigningRequest)
	if !ok || !is {
		return
	}
	if w.r.Operation == wire.Replace {
		next.Spec = *was.Spec.DeepCopy()
		return
	}
	next.Spec.Username, next.Spec.UID, next.Spec.Groups, next.Spec.Extra = was.Spec.Username, was.Spec.UID, was.Spec.Groups, was.Spec.Extra
}

// certified is the status of a request for a certificate as it may be written; that of
// another object as it is.
func (w *writing) certified(old *projections.Object, sent json.RawMessage, now time.Time) (json.RawMessage, *refusal) {
	approving := w.r.Part == PartApproval
	if old.Key.Resource == events.PodCertRequests {
		return w.podCertified(old, sent, now)
	}
	if old.Key.Resource != events.CertRequests {
		if approving {
			return nil, badRequest("%s is no request for a certificate: nobody approves it", w.key)
		}
		return sent, nil
	}
	was, ok := w.v.ObjectOf(old, now).(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil, badRequest("%s cannot be read", w.key)
	}
	next := was.DeepCopy()
	next.Status = certificatesv1.CertificateSigningRequestStatus{}
	if len(sent) > 0 {
		if err := json.Unmarshal(sent, &next.Status); err != nil {
			return nil, badRequest("read status of %s: %v", w.key, err)
		}
	}
	if approving {
		next.Status.Certificate = was.Status.Certificate
	} else {
		keepSaid(next, was)
	}
	for i := range next.Status.Conditions {
		timed(&next.Status.Conditions[i], was.Status.Conditions, now)
	}
	if errs := manifest.CertStatus(was, next, approving); len(errs) > 0 {
		return nil, invalid(w.key, errs)
	}
	return events.MustBody(next.Status), nil
}

// keepSaid leaves how a request was settled as it was said: whoever signs does not say it. One more or one less is
// refused after this.
func keepSaid(next, was *certificatesv1.CertificateSigningRequest) {
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied} {
		of := func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == t }
		is, said := slices.IndexFunc(next.Status.Conditions, of), slices.IndexFunc(was.Status.Conditions, of)
		if is >= 0 && said >= 0 {
			next.Status.Conditions[is] = was.Status.Conditions[said]
		}
	}
}

// timed fills in when a condition came about, if its writer does not say.
func timed(c *certificatesv1.CertificateSigningRequestCondition, before []certificatesv1.CertificateSigningRequestCondition, now time.Time) {
	if c.LastUpdateTime.IsZero() {
		c.LastUpdateTime = metav1.NewTime(now.Truncate(time.Second))
	}
	if !c.LastTransitionTime.IsZero() {
		return
	}
	c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
	for _, b := range before {
		if b.Type == c.Type && b.Status == c.Status && !b.LastTransitionTime.IsZero() {
			c.LastTransitionTime = b.LastTransitionTime
		}
	}
}
