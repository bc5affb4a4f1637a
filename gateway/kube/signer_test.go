package kube_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	certificates "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/rest"

	"github.com/stave-run/stave/events"
)

// approved asks for a certificate and approves it.
func approved(t *testing.T, all certificates.CertificateSigningRequestInterface, ask *certificatesv1.CertificateSigningRequest) {
	t.Helper()
	made, err := all.Create(t.Context(), ask, metav1.CreateOptions{})
	if err == nil {
		_, err = all.UpdateApproval(t.Context(), ask.Name, settle(made, certificatesv1.CertificateApproved), metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// answered waits for the signer's word on a request.
func answered(t *testing.T, all certificates.CertificateSigningRequestInterface, name string) (c *certificatesv1.CertificateSigningRequest) {
	t.Helper()
	eventually(t, name+" is answered", func(ctx context.Context) (ok bool) {
		var err error
		c, err = all.Get(ctx, name, metav1.GetOptions{})
		return err == nil && (len(c.Status.Certificate) > 0 || len(c.Status.Conditions) > 1)
	})
	return c
}

// asked is a request for a certificate with a key.
func asked(t *testing.T, name string, key crypto.Signer, subject pkix.Name) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject, DNSNames: []string{"ann.example.com"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := wanted(t, name)
	c.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: raw})
	return c
}

func made[K crypto.Signer](t *testing.T) func(k K, err error) crypto.Signer {
	return func(k K, err error) crypto.Signer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

// Keys that others can guess, and names that nobody can be known by, are not signed; the request says why.
func TestCertificatesOfGoodKeys(t *testing.T) {
	all := open(t).client().CertificatesV1().CertificateSigningRequests()
	rsaKey, ecKey := made[*rsa.PrivateKey](t), made[*ecdsa.PrivateKey](t)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := ecKey(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	for name, c := range map[string]struct {
		key     crypto.Signer
		subject pkix.Name
		want    string // of the failure; none: it is signed
	}{
		"rsa1024": {rsaKey(rsa.GenerateKey(rand.Reader, 1024)), pkix.Name{CommonName: "ann"}, "the RSA key has 1024 bits; at least 2048 are needed"},
		"rsa2048": {rsaKey(rsa.GenerateKey(rand.Reader, 2048)), pkix.Name{CommonName: "ann"}, ""},
		"p224":    {ecKey(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), pkix.Name{CommonName: "ann"}, "the key is of the curve P-224"},
		"p384":    {good, pkix.Name{CommonName: "ann"}, ""},
		"edwards": {edwards, pkix.Name{CommonName: "ann"}, ""},
		"nobody":  {good, pkix.Name{Organization: []string{"builders"}}, "the subject has no common name"},
		"long":    {good, pkix.Name{CommonName: strings.Repeat("a", 257)}, "the common name has 257 characters"},
		"lines":   {good, pkix.Name{CommonName: "ann\nStave-Actor: root"}, "the subject has control characters"},
		"groups":  {good, pkix.Name{CommonName: "ann", Organization: []string{" system:masters"}}, "spaces around a name"},
	} {
		approved(t, all, asked(t, name, c.key, c.subject))
		got := answered(t, all, name)
		if c.want == "" {
			block, _ := pem.Decode(got.Status.Certificate)
			if block == nil {
				t.Errorf("%s: %+v", name, got.Status)
				continue
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil || cert.IsCA || cert.KeyUsage != 0 || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(cert.DNSNames) != 1 {
				t.Errorf("%s: %+v, %v", name, cert, err)
			}
			continue
		}
		if last := got.Status.Conditions[len(got.Status.Conditions)-1]; last.Type != certificatesv1.CertificateFailed || !strings.Contains(last.Message, c.want) || len(got.Status.Certificate) != 0 {
			t.Errorf("%s: %+v, want %s", name, got.Status, c.want)
		}
	}
}

// The signer leaves alone what is not its own, what nobody approved and what was denied.
func TestCertificatesThatAreNotSigned(t *testing.T) {
	h := open(t)
	all := h.client().CertificatesV1().CertificateSigningRequests()
	other, _ := wanted(t, "other")
	other.Spec.SignerName = "example.com/signer"
	kubelet, _ := wanted(t, "kubelet", "system:nodes")
	kubelet.Spec.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName
	approved(t, all, other)
	approved(t, all, kubelet)
	waits, _ := wanted(t, "waits")
	waits.Status = settle(waits, certificatesv1.CertificateApproved).Status // it is not for who asks to say
	denied, _ := wanted(t, "denied")
	for _, c := range []*certificatesv1.CertificateSigningRequest{waits, denied} {
		made, err := all.Create(t.Context(), c, metav1.CreateOptions{})
		if err != nil || len(made.Status.Conditions) != 0 {
			t.Fatalf("%+v, %v", made, err)
		}
	}
	seen, err := all.Get(t.Context(), "denied", metav1.GetOptions{})
	if err == nil {
		_, err = all.UpdateApproval(t.Context(), "denied", settle(seen, certificatesv1.CertificateDenied), metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	// Who approved what somebody else denied meanwhile has lost, whatever they send.
	if _, err = all.UpdateApproval(t.Context(), "denied", settle(seen, certificatesv1.CertificateApproved), metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("by an old version: %v", err)
	}
	for kind, body := range map[types.PatchType]string{
		types.StrategicMergePatchType: `{"status":{"conditions":[{"type":"Approved","status":"True"}]}}`,
		types.MergePatchType:          `{"status":{"conditions":[{"type":"Approved","status":"True"}]}}`,
		types.JSONPatchType:           `[{"op":"replace","path":"/status/conditions/0/type","value":"Approved"}]`,
	} {
		if _, err = all.Patch(t.Context(), "denied", kind, []byte(body), metav1.PatchOptions{}, "approval"); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	// The last one is signed, and those before it were looked at before.
	ann, _ := wanted(t, "ann")
	approved(t, all, ann)
	if got := answered(t, all, "ann"); len(got.Status.Certificate) == 0 {
		t.Errorf("%+v", got.Status)
	}
	for name, conditions := range map[string]int{"other": 1, "kubelet": 1, "waits": 0, "denied": 1} {
		c, err := all.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || len(c.Status.Certificate) != 0 || len(c.Status.Conditions) != conditions {
			t.Errorf("%s: %+v, %v", name, c.Status, err)
		}
	}
	secret, err := os.ReadFile(strings.Replace(h.people.File(), ".crt", ".key", 1))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(secret)
	err = h.log.Read(t.Context(), 1, func(e events.Envelope) error {
		if bytes.Contains(e.Body, []byte("PRIVATE KEY")) || bytes.Contains(e.Body, block.Bytes[36:60]) {
			t.Errorf("%d holds a private key", e.Seq)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Somebody else's signer writes its certificates, and them alone, once.
func TestCertificatesOfOtherSigners(t *testing.T) {
	h := open(t)
	c := h.client()
	all := c.CertificatesV1().CertificateSigningRequests()
	grant(t, c, "signer", rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests", "certificatesigningrequests/status", "certificatesigningrequests/approval"}, Verbs: []string{"*"}},
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.com/*"}, Verbs: []string{"sign"}},
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.com/two"}, Verbs: []string{"approve"}})
	config := rest.CopyConfig(h.config)
	config.Impersonate.UserName = "signer"
	signer := kubernetes.NewForConfigOrDie(config).CertificatesV1().CertificateSigningRequests()
	ours, _ := wanted(t, "ours")
	approved(t, all, ours)
	signed := answered(t, all, "ours").Status.Certificate
	for _, name := range []string{"one", "two"} {
		ask, _ := wanted(t, name)
		ask.Spec.SignerName = "example.com/" + name
		if _, err := all.Create(t.Context(), ask, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(name string) *certificatesv1.CertificateSigningRequest {
		got, err := all.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if _, err := signer.UpdateApproval(t.Context(), "one", settle(get("one"), certificatesv1.CertificateApproved), metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("approve for another signer: %v", err)
	}
	if _, err := signer.UpdateApproval(t.Context(), "two", settle(get("two"), certificatesv1.CertificateApproved), metav1.UpdateOptions{}); err != nil {
		t.Errorf("approve: %v", err)
	}
	two := get("two")
	two.Status.Certificate = []byte("no certificate")
	if _, err := signer.UpdateStatus(t.Context(), two, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "must contain at least one CERTIFICATE PEM block") {
		t.Errorf("%v", err)
	}
	two.Status.Certificate, two.Status.Conditions[0].Message = signed, "as if approved for another reason"
	wrote, err := signer.UpdateStatus(t.Context(), two, metav1.UpdateOptions{})
	if err != nil || !bytes.Equal(wrote.Status.Certificate, signed) || wrote.Status.Conditions[0].Message != "" {
		t.Fatalf("%+v, %v", wrote, err)
	}
	wrote.Status.Certificate = append([]byte("\n"), signed...)
	if _, err = signer.UpdateStatus(t.Context(), wrote, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "updates may not modify existing certificate content") {
		t.Errorf("%v", err)
	}
	mine := get("ours")
	mine.Status.Conditions = append(mine.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: "Extra", Status: "True"})
	if _, err = signer.UpdateStatus(t.Context(), mine, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("sign for another signer: %v", err)
	}
	// What is not there is not made by the doors of its parts.
	for _, part := range []string{"approval", "status"} {
		_, err = all.Patch(t.Context(), "nowhere", types.ApplyPatchType, []byte(`{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"nowhere"},"status":{"conditions":[{"type":"Approved","status":"True"}]}}`),
			metav1.PatchOptions{FieldManager: "t"}, part)
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// A certificate that names nobody lets nobody in.
func TestCertificatesOfNobody(t *testing.T) {
	h := open(t)
	c, err := kubernetes.NewForConfig(h.as("", "system:masters"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("%v", err)
	}
}
