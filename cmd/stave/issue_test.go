package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// issue is a signer: it answers so many requests for certificates of pods, as they come, and prints their names. With ! it
// denies them.
//
//	[!] issue SIGNER NAMESPACE COUNT
func issue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 || len(args[2]) != 1 {
		ts.Fatalf("usage: issue SIGNER NAMESPACE COUNT")
	}
	config, err := clientcmd.BuildConfigFromFlags("", ts.Getenv("KUBECONFIG"))
	ts.Check(err)
	c, err := kubernetes.NewForConfig(config)
	ts.Check(err)
	all := c.CertificatesV1().PodCertificateRequests(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for answered := 0; answered < int(args[2][0]-'0'); {
		list, err := all.List(ctx, metav1.ListOptions{FieldSelector: "spec.signerName=" + args[0]})
		ts.Check(err)
		for i := range list.Items {
			r := &list.Items[i]
			if len(r.Status.Conditions) > 0 {
				continue
			}
			if neg {
				r.Status.Conditions = []metav1.Condition{{Type: "Denied", Status: metav1.ConditionTrue, Reason: "NotYou", Message: "nobody knows it", LastTransitionTime: metav1.Now()}}
			} else {
				r.Status, err = issued(r)
				ts.Check(err)
			}
			_, err = all.UpdateStatus(ctx, r, metav1.UpdateOptions{})
			ts.Check(err)
			answered++
			_, err = ts.Stdout().Write([]byte(r.Name + " of " + r.Spec.PodName + "\n"))
			ts.Check(err)
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("answered %d requests of %s: %v", answered, args[0], ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// issued is a status with a certificate that lasts an hour.
func issued(r *certificatesv1.PodCertificateRequest) (s certificatesv1.PodCertificateRequestStatus, err error) {
	asked, err := x509.ParseCertificateRequest(r.Spec.StubPKCS10Request)
	if err != nil {
		return s, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return s, err
	}
	begin := time.Now().Truncate(time.Second)
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: r.Spec.PodName}, NotBefore: begin, NotAfter: begin.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, asked.PublicKey, key)
	if err != nil {
		return s, err
	}
	before, after, again := metav1.NewTime(begin), metav1.NewTime(begin.Add(time.Hour)), metav1.NewTime(begin.Add(40*time.Minute))
	return certificatesv1.PodCertificateRequestStatus{CertificateChain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		NotBefore: &before, NotAfter: &after, BeginRefreshAt: &again,
		Conditions: []metav1.Condition{{Type: "Issued", Status: metav1.ConditionTrue, Reason: "Tests", LastTransitionTime: before}}}, nil
}
