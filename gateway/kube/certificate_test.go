package kube_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// wanted is a request for a client's certificate, and its key.
func wanted(t *testing.T, user string, groups ...string) (c *certificatesv1.CertificateSigningRequest, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user, Organization: groups}}, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	lasts := int32(3600)
	return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: user}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: raw}),
		SignerName: certificatesv1.KubeAPIServerClientSignerName, ExpirationSeconds: &lasts, Username: "somebody else",
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}}}, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func settle(c *certificatesv1.CertificateSigningRequest, how certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequest {
	c = c.DeepCopy()
	c.Status.Conditions = append(c.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: how, Status: corev1.ConditionTrue, Reason: "Tests"})
	return c
}

// grant lets somebody do what rules say.
func grant(t *testing.T, c kubernetes.Interface, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}
	_, err := c.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	if err == nil {
		_, err = c.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What is approved is signed by the cluster's authority, and whoever asked is let in as
// whom the certificate names.
func TestCertificatesForPeople(t *testing.T) {
	h := open(t)
	c := h.client()
	all := c.CertificatesV1().CertificateSigningRequests()
	ask, key := wanted(t, "ann", "builders")
	made, err := all.Create(t.Context(), ask, metav1.CreateOptions{})
	if err != nil || made.Spec.Username != "admin" || len(made.Spec.Groups) == 0 || len(made.Status.Conditions) != 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	// Nobody says there what is not theirs to say.
	made.Status.Certificate = []byte("x")
	if _, err = all.UpdateApproval(t.Context(), "ann", settle(made, certificatesv1.CertificateApproved), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	var signed *certificatesv1.CertificateSigningRequest
	eventually(t, "it is signed", func(ctx context.Context) bool {
		signed, err = all.Get(ctx, "ann", metav1.GetOptions{})
		return err == nil && len(signed.Status.Certificate) > 0
	})
	block, _ := pem.Decode(signed.Status.Certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.Subject.CommonName != "ann" || cert.IsCA || time.Until(cert.NotAfter) > time.Hour || time.Until(cert.NotAfter) < 30*time.Minute {
		t.Errorf("%+v, %v", cert, err)
	}
	config := rest.CopyConfig(h.config)
	config.CertData, config.KeyData, config.CertFile, config.KeyFile = signed.Status.Certificate, key, "", ""
	ann, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = ann.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "ann" cannot list`) {
		t.Errorf("without a role: %v", err)
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "builders"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "builders"}}}
	if _, err = c.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err = ann.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("with a role of her group: %v", err)
	}
	// What is said is said.
	if _, err = all.UpdateApproval(t.Context(), "ann", settle(signed, certificatesv1.CertificateDenied), metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("both approved and denied: %v", err)
	}
	signed.Spec.SignerName = "example.com/other"
	if kept, err := all.Update(t.Context(), signed, metav1.UpdateOptions{}); err != nil || kept.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		t.Errorf("%+v, %v", kept, err)
	}
}

// Requests that nobody may make, approve or sign are refused in Kubernetes' words.
func TestCertificatesThatNobodyGets(t *testing.T) {
	h := open(t)
	c := h.client()
	all := c.CertificatesV1().CertificateSigningRequests()
	masters, _ := wanted(t, "root", "system:masters")
	if _, err := all.Create(t.Context(), masters, metav1.CreateOptions{}); !apierrors.IsForbidden(err) ||
		!strings.HasSuffix(err.Error(), "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed") {
		t.Errorf("%v", err)
	}
	for want, spoil := range map[string]func(*certificatesv1.CertificateSigningRequestSpec){
		"spec.request: Invalid value": func(s *certificatesv1.CertificateSigningRequestSpec) { s.Request = []byte("x") },
		"spec.usages: Required value": func(s *certificatesv1.CertificateSigningRequestSpec) { s.Usages = nil },
		"spec.signerName: Invalid value: \"signer\": must be a fully qualified domain and path": func(s *certificatesv1.CertificateSigningRequestSpec) { s.SignerName = "signer" },
		"may not specify a duration less than 600 seconds":                                      func(s *certificatesv1.CertificateSigningRequestSpec) { *s.ExpirationSeconds = 60 },
	} {
		ask, _ := wanted(t, "bad")
		spoil(&ask.Spec)
		if _, err := all.Create(t.Context(), ask, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// To write the requests is not enough: their signer has to let one.
	grant(t, c, "bob", rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"},
		Resources: []string{"certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"}, Verbs: []string{"*"}})
	config := rest.CopyConfig(h.config)
	config.Impersonate.UserName = "bob"
	bob, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	// What each of these refuses is told in Kubernetes' words.
	ask, _ := wanted(t, "bob")
	made, err := bob.CertificatesV1().CertificateSigningRequests().Create(t.Context(), ask, metav1.CreateOptions{})
	if err != nil || made.Spec.Username != "bob" {
		t.Fatalf("%+v, %v", made, err)
	}
	_, err = bob.CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), "bob", settle(made, certificatesv1.CertificateApproved), metav1.UpdateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"`) {
		t.Errorf("approve: %v", err)
	}
	_, err = bob.CertificatesV1().CertificateSigningRequests().UpdateStatus(t.Context(), settle(made, certificatesv1.CertificateFailed), metav1.UpdateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "user not permitted to sign requests") {
		t.Errorf("sign: %v", err)
	}
	// By the status alone nobody approves.
	if _, err = all.UpdateStatus(t.Context(), settle(made, certificatesv1.CertificateApproved), metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `updates may not add a condition of type "Approved"`) {
		t.Errorf("%v", err)
	}
	// What the signer does not sign fails, and says why; another signer's is theirs.
	server, _ := wanted(t, "server")
	server.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth}
	made, err = all.Create(t.Context(), server, metav1.CreateOptions{})
	if err == nil {
		_, err = all.UpdateApproval(t.Context(), "server", settle(made, certificatesv1.CertificateApproved), metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it fails", func(ctx context.Context) bool {
		made, err = all.Get(ctx, "server", metav1.GetOptions{})
		return err == nil && len(made.Status.Conditions) == 2 && made.Status.Conditions[1].Message == "invalid usage for client certificate: server auth"
	})
	if made, err = all.Patch(t.Context(), "bob", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"Denied","status":"True"}]}}`), metav1.PatchOptions{}, "approval"); err != nil || len(made.Status.Certificate) != 0 {
		t.Errorf("%+v, %v", made, err)
	}
	if list, err := all.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=kubernetes.io/kube-apiserver-client"}); err != nil || len(list.Items) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}
