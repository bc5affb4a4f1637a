package kube_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// anchor is the certificate of an authority that signs nothing.
func anchor(t *testing.T, name string) string {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

// acting is a client of somebody.
func (h *house) acting(t *testing.T, user string, groups ...string) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(h.as(user, groups...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func trustBundle(name, signer, anchors string) *certificatesv1.ClusterTrustBundle {
	return &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: signer, TrustBundle: anchors}}
}

// Who may write bundles says for no signer what it is trusted by: the right to attest is the signer's own. Every
// ServiceAccount may read them.
func TestWhoAttests(t *testing.T) {
	h := open(t)
	c := h.client()
	all := c.CertificatesV1().ClusterTrustBundles()
	one, two := anchor(t, "one"), anchor(t, "two")
	if _, err := all.Create(t.Context(), trustBundle("example.com:web:live", "example.com/web", one), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	grant(t, c, "eve", rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"clustertrustbundles"}, Verbs: []string{"*"}},
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.com/other", "kind.example/*"}, Verbs: []string{"attest"}},
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.com/web"}, Verbs: []string{"sign", "approve"}})
	eve := h.acting(t, "eve").CertificatesV1().ClusterTrustBundles()
	refused := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `user not permitted to attest for signerName "example.com/web"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := eve.Create(t.Context(), trustBundle("example.com:web:mine", "example.com/web", two), metav1.CreateOptions{})
	refused("create", err)
	_, err = eve.Create(t.Context(), trustBundle("example.com:web:mine", "example.com/web", two), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	refused("try", err)
	live, err := eve.Get(t.Context(), "example.com:web:live", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changed := live.DeepCopy()
	changed.Spec.TrustBundle = two
	_, err = eve.Update(t.Context(), changed, metav1.UpdateOptions{})
	refused("update", err)
	labelled := live.DeepCopy()
	labelled.Labels = map[string]string{"chosen": "yes"} // whom it is selected for is said by it, too
	_, err = eve.Update(t.Context(), labelled, metav1.UpdateOptions{})
	refused("label", err)
	patch := func(kind types.PatchType, text string) error {
		force := true
		opts := metav1.PatchOptions{FieldManager: "eve"}
		if kind == types.ApplyPatchType {
			opts.Force = &force
		}
		_, err := eve.Patch(t.Context(), live.Name, kind, []byte(text), opts)
		return err
	}
	text, err := json.Marshal(two)
	if err != nil {
		t.Fatal(err)
	}
	refused("merge", patch(types.MergePatchType, `{"spec":{"trustBundle":`+string(text)+`}}`))
	refused("apply", patch(types.ApplyPatchType, `{"apiVersion":"certificates.k8s.io/v1","kind":"ClusterTrustBundle","metadata":{"name":"example.com:web:live"},"spec":{"signerName":"example.com/web","trustBundle":`+string(text)+`}}`))
	// To drop the signer, and the question with it, is no way: it is its for ever, as its name says.
	if err := patch(types.JSONPatchType, `[{"op":"remove","path":"/spec/signerName"}]`); !apierrors.IsInvalid(err) {
		t.Errorf("take the signer away: %v", err)
	}
	if err := patch(types.MergePatchType, `{"spec":{"signerName":"example.com/other"}}`); !apierrors.IsInvalid(err) {
		t.Errorf("give it to another: %v", err)
	}
	if err := patch(types.MergePatchType, `{"metadata":{"finalizers":["example.com/hold"]}}`); err != nil {
		t.Errorf("hold it: %v", err)
	}
	if err := patch(types.MergePatchType, `{"metadata":{"finalizers":null}}`); err != nil {
		t.Errorf("let it go: %v", err)
	}
	for name, signer := range map[string]string{"plain": "", "example.com:other:x": "example.com/other", "kind.example:any:x": "kind.example/any"} {
		if _, err := eve.Create(t.Context(), trustBundle(name, signer, two), metav1.CreateOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	pod := h.acting(t, "system:serviceaccount:default:default", "system:serviceaccounts", "system:authenticated").CertificatesV1().ClusterTrustBundles()
	list, err := pod.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=example.com/web"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Spec.TrustBundle != one {
		t.Errorf("%+v, %v", list, err)
	}
	if err := pod.Delete(t.Context(), "plain", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a pod deletes: %v", err)
	}
}
