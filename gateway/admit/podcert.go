package admit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// podCertified is the status of a request for a pod's certificate as it may be written.
func (w *writing) podCertified(old *projections.Object, sent json.RawMessage, now time.Time) (json.RawMessage, *refusal) {
	was, ok := w.v.ObjectOf(old, now).(*certificatesv1.PodCertificateRequest)
	if !ok || w.r.Part == PartApproval {
		return nil, badRequest("%s is no request that is approved", w.key)
	}
	next := was.DeepCopy()
	next.Status = certificatesv1.PodCertificateRequestStatus{}
	if len(sent) > 0 {
		if err := json.Unmarshal(sent, &next.Status); err != nil {
			return nil, badRequest("read status of %s: %v", w.key, err)
		}
	}
	if errs := manifest.PodCertStatus(was, next, now); len(errs) > 0 {
		return nil, invalid(w.key, errs)
	}
	return events.MustBody(next.Status), nil
}

// Certify admits what a node asks for a certificate of a pod of its own. All but the key is read from the pod: a node speaks
// for the pods that it has, and for what these name, and for nothing else. The same request again is the same object.
func Certify(v projections.State, r wire.CertifyRequest, op events.OpID, now time.Time) (Outcome, *metav1.Status) {
	pod, there := v.Get(r.Pod.Key)
	p, assigned := v.PodOf(r.Pod.Key)
	if !there || !assigned || pod.UID != r.Pod.UID || p.Node != r.Node || pod.Deletion != nil {
		return Outcome{}, forbidden(r.Pod.Key, "it is no pod of node "+r.Node+" that shall run").status()
	}
	src := projections.CertSource(&projections.As[*corev1.Pod](pod).Spec, projections.CertPlace{Volume: r.Volume, Source: r.Source})
	if src == nil {
		return Outcome{}, forbidden(r.Pod.Key, "it mounts no certificate there").status()
	}
	account := events.Key{Resource: events.Accounts, Namespace: pod.Key.Namespace, Name: projections.AccountOf(pod.PodSpec())}
	node := events.Key{Resource: events.Nodes, Name: r.Node}
	a, ok := v.Get(account)
	if !ok {
		return Outcome{}, notFound(account).status()
	}
	n, ok := v.Get(node)
	if !ok {
		return Outcome{}, notFound(node).status()
	}
	sum := sha256.Sum256(append([]byte(pod.UID), r.Request...))
	c := &certificatesv1.PodCertificateRequest{
		TypeMeta: metav1.TypeMeta{APIVersion: certificatesv1.SchemeGroupVersion.String(), Kind: "PodCertificateRequest"},
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Key.Namespace, Name: "req-" + hex.EncodeToString(sum[:8]),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Key.Name, UID: types.UID(pod.UID)}}},
		Spec: certificatesv1.PodCertificateRequestSpec{SignerName: src.SignerName, PodName: pod.Key.Name, PodUID: types.UID(pod.UID),
			ServiceAccountName: account.Name, ServiceAccountUID: types.UID(a.UID), NodeName: types.NodeName(r.Node), NodeUID: types.UID(n.UID),
			MaxExpirationSeconds: src.MaxExpirationSeconds, StubPKCS10Request: r.Request, UnverifiedUserAnnotations: src.UserAnnotations}}
	out := Admit(v, Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Create}, Item: wire.Item{Object: events.MustBody(c)}, Op: op}, now)
	if out.Result.Key.Name == "" {
		out.Result.Key = events.Key{Resource: events.PodCertRequests, Namespace: c.Namespace, Name: c.Name}
	}
	if have, ok := v.Get(out.Result.Key); ok && out.Result.Error != nil && projections.As[*certificatesv1.PodCertificateRequest](have).Spec.PodUID == c.Spec.PodUID {
		return Outcome{Result: wire.Result{Key: out.Result.Key}}, nil // it landed, and the answer was lost
	}
	return out, out.Result.Error
}
