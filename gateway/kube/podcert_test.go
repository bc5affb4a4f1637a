package kube_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func podCertRequest(t *testing.T, name, signer string, key crypto.Signer) *certificatesv1.PodCertificateRequest {
	t.Helper()
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	lasts := int32(7200)
	return &certificatesv1.PodCertificateRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.PodCertificateRequestSpec{SignerName: signer, PodName: "p", PodUID: "1",
		ServiceAccountName: "default", ServiceAccountUID: "2", NodeName: "n", NodeUID: "3", MaxExpirationSeconds: &lasts, StubPKCS10Request: raw}}
}

// leafOf is the status that issues a certificate of a key from then on for a while.
func leafOf(t *testing.T, key crypto.PublicKey, begin time.Time, life time.Duration) certificatesv1.PodCertificateRequestStatus {
	t.Helper()
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	begin = begin.Truncate(time.Second)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: begin, NotAfter: begin.Add(life)}
	raw, err := x509.CreateCertificate(rand.Reader, c, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, SerialNumber: big.NewInt(2)}, key, own)
	if err != nil {
		t.Fatal(err)
	}
	from, until, again := metav1.NewTime(begin), metav1.NewTime(begin.Add(life)), metav1.NewTime(begin.Add(life/2))
	return certificatesv1.PodCertificateRequestStatus{CertificateChain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})), NotBefore: &from, NotAfter: &until, BeginRefreshAt: &again,
		Conditions: []metav1.Condition{{Type: "Issued", Status: metav1.ConditionTrue, Reason: "Tests", LastTransitionTime: metav1.Now()}}}
}

// A request for a pod's certificate is settled once, by who may sign for its signer, with a certificate of its key and as
// long as was asked for.
func TestPodCertificatesAreIssuedOnce(t *testing.T) {
	h := open(t)
	c := h.client()
	all := c.CertificatesV1().PodCertificateRequests("default")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ask := podCertRequest(t, "r", "example.com/s", key)
	ask.Status = leafOf(t, key.Public(), time.Now(), time.Hour) // what comes with a creation makes nothing
	made, err := all.Create(t.Context(), ask, metav1.CreateOptions{})
	if err != nil || len(made.Status.Conditions) != 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	grant(t, c, "eve", rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"podcertificaterequests", "podcertificaterequests/status"}, Verbs: []string{"*"}},
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.com/s"}, Verbs: []string{"approve", "attest"}})
	grant(t, c, "sam", rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"podcertificaterequests/status"}, Verbs: []string{"update"}},
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.com/*"}, Verbs: []string{"sign"}})
	with := func(s certificatesv1.PodCertificateRequestStatus, edit func(*certificatesv1.PodCertificateRequestStatus)) *certificatesv1.PodCertificateRequest {
		next := made.DeepCopy()
		next.ResourceVersion, next.Status = "", s
		if edit != nil {
			edit(&next.Status)
		}
		return next
	}
	good := func() certificatesv1.PodCertificateRequestStatus {
		return leafOf(t, key.Public(), time.Now(), time.Hour)
	}
	_, err = h.acting(t, "eve").CertificatesV1().PodCertificateRequests("default").UpdateStatus(t.Context(), with(good(), nil), metav1.UpdateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "eve" is not permitted to "sign" for signer "example.com/s"`) {
		t.Errorf("%v", err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	far := metav1.NewTime(time.Now().Add(time.Hour))
	for want, bad := range map[string]*certificatesv1.PodCertificateRequest{
		"leaf certificate was not issued to the requested public key":           with(leafOf(t, other.Public(), time.Now(), time.Hour), nil),
		"leaf certificate lifetime must be >= 1 hour":                           with(leafOf(t, key.Public(), time.Now(), 59*time.Minute), nil),
		"leaf certificate lifetime must be <= spec.maxExpirationSeconds (7200)": with(leafOf(t, key.Public(), time.Now(), 3*time.Hour), nil),
		"must be set to within 5 minutes of kube-apiserver's current time":      with(leafOf(t, key.Public(), time.Now().Add(-time.Hour), 2*time.Hour), nil),
		"must be at least 10 minutes before status.notAfter":                    with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.BeginRefreshAt = &far }),
		"must be set to the NotAfter time encoded in the leaf certificate":      with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.NotAfter = s.NotBefore }),
		"status.beginRefreshAt: Required value":                                 with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.BeginRefreshAt = nil }),
		"issued certificate chain must contain at least one certificate":        with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.CertificateChain = "x" }),
		"intermediate certificate does not parse as valid X.509": with(good(), func(s *certificatesv1.PodCertificateRequestStatus) {
			s.CertificateChain += "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n"
		}),
		"must consist entirely of CERTIFICATE PEM blocks": with(good(), func(s *certificatesv1.PodCertificateRequestStatus) {
			s.CertificateChain += "-----BEGIN PRIVATE KEY-----\neA==\n-----END PRIVATE KEY-----\n"
		}),
		`Unsupported value: "False"`:    with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.Conditions[0].Status = metav1.ConditionFalse }),
		`Unsupported value: "Approved"`: with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.Conditions[0].Type = "Approved" }),
		"There may be at most one condition": with(good(), func(s *certificatesv1.PodCertificateRequestStatus) {
			s.Conditions = append(s.Conditions, metav1.Condition{Type: "Denied", Status: "True", Reason: "x", LastTransitionTime: metav1.Now()})
		}),
		"non-condition status fields must be empty when denying or failing":           with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.Conditions[0].Type = "Denied" }),
		`status is immutable unless transitioning to "Issued", "Denied", or "Failed"`: with(good(), func(s *certificatesv1.PodCertificateRequestStatus) { s.Conditions = nil }),
	} {
		if _, err := all.UpdateStatus(t.Context(), bad, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	done, err := h.acting(t, "sam").CertificatesV1().PodCertificateRequests("default").UpdateStatus(t.Context(), with(good(), nil), metav1.UpdateOptions{})
	if err != nil || done.Status.CertificateChain == "" {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := all.UpdateStatus(t.Context(), with(good(), nil), metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "immutable after PodCertificateRequest is issued") {
		t.Errorf("issued twice: %v", err)
	}
	moved := done.DeepCopy()
	moved.Spec.PodName = "other"
	if _, err := all.Update(t.Context(), moved, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("for another pod: %v", err)
	}
	done.Labels = map[string]string{"a": "b"}
	if kept, err := all.Update(t.Context(), done, metav1.UpdateOptions{}); err != nil || kept.Status.CertificateChain != done.Status.CertificateChain {
		t.Errorf("a label: %+v, %v", kept, err)
	}
	if list, err := all.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.podName=p,spec.nodeName=n"}); err != nil || len(list.Items) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// What asks for a pod's certificate is checked in Kubernetes' words, and made by nobody without the right to.
func TestPodCertificatesThatNobodyAsksFor(t *testing.T) {
	h := open(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*certificatesv1.PodCertificateRequestSpec){
		"spec.maxExpirationSeconds: Required value": func(s *certificatesv1.PodCertificateRequestSpec) { s.MaxExpirationSeconds = nil },
		"must be in the range [3600, 7862400]":      func(s *certificatesv1.PodCertificateRequestSpec) { *s.MaxExpirationSeconds = 60 },
		"must be in the range [3600, 86400]": func(s *certificatesv1.PodCertificateRequestSpec) {
			s.SignerName, *s.MaxExpirationSeconds = "kubernetes.io/x", 90000
		},
		"spec.podUID: Invalid value: \"\": must not be empty":                               func(s *certificatesv1.PodCertificateRequestSpec) { s.PodUID = "" },
		"spec.nodeName: Invalid value":                                                      func(s *certificatesv1.PodCertificateRequestSpec) { s.NodeName = "A" },
		"spec.stubPKCS10Request: Invalid value: \"<omitted>\": must be a valid PKCS#10 CSR": func(s *certificatesv1.PodCertificateRequestSpec) { s.StubPKCS10Request = []byte("x") },
		"spec.signerName: Invalid value":                                                    func(s *certificatesv1.PodCertificateRequestSpec) { s.SignerName = "s" },
		"spec.unverifiedUserAnnotations: Invalid value": func(s *certificatesv1.PodCertificateRequestSpec) {
			s.UnverifiedUserAnnotations = map[string]string{"plain": "x"}
		},
	} {
		ask := podCertRequest(t, "r", "example.com/s", key)
		spoil(&ask.Spec)
		if _, err := h.client().CertificatesV1().PodCertificateRequests("default").Create(t.Context(), ask, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	grant(t, h.client(), "ed")
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "ed"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "ed"}}}
	if _, err := h.client().RbacV1().RoleBindings("default").Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.acting(t, "ed").CertificatesV1().PodCertificateRequests("default").Create(t.Context(), podCertRequest(t, "r", "example.com/s", key), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the admin of a namespace speaks for its nodes: %v", err)
	}
}
