package table

import (
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/stave-run/stave/events/manifest"
)

// certRow is a request for a certificate, as kubectl prints it.
func certRow(o *certificatesv1.CertificateSigningRequest, age string, _ time.Time) []string {
	return []string{o.Name, age, orNone(o.Spec.SignerName), o.Spec.Username, certLife(o), certState(o)}
}

func certLife(o *certificatesv1.CertificateSigningRequest) string {
	if s := o.Spec.ExpirationSeconds; s != nil {
		return Age(time.Duration(*s) * time.Second)
	}
	return "<none>"
}

// certRequest tells what somebody who approves has to know: who asks, and whom the
// certificate would name.
func (p page) certRequest(o *certificatesv1.CertificateSigningRequest) {
	p.line(0, "Name:\t%s", o.Name)
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	p.line(0, "CreationTimestamp:\t%s", o.CreationTimestamp.Format(time.RFC1123Z))
	p.line(0, "Requesting User:\t%s", o.Spec.Username)
	p.line(0, "Signer:\t%s", o.Spec.SignerName)
	p.line(0, "Requested Duration:\t%s", certLife(o))
	p.line(0, "Status:\t%s", certState(o))
	for _, c := range o.Status.Conditions {
		if c.Message != "" {
			p.line(1, "%s:\t%s", c.Type, c.Message)
		}
	}
	asked, err := manifest.CertificateRequest(o.Spec.Request)
	if err != nil {
		return // admission has read it
	}
	p.line(0, "Subject:")
	p.line(1, "Common Name:\t%s", asked.Subject.CommonName)
	p.line(1, "Serial Number:\t%s", asked.Subject.SerialNumber)
	texts := make(map[string][]string)
	for _, u := range asked.URIs {
		texts["URIs"] = append(texts["URIs"], u.String())
	}
	for _, ip := range asked.IPAddresses {
		texts["IP Addresses"] = append(texts["IP Addresses"], ip.String())
	}
	texts["Organization"], texts["DNS Names"], texts["Email Addresses"] = asked.Subject.Organization, asked.DNSNames, asked.EmailAddresses
	for _, name := range []string{"Organization", "DNS Names", "Email Addresses", "URIs", "IP Addresses"} {
		if len(texts[name]) > 0 {
			p.line(1, "%s:\t%s", name, strings.Join(texts[name], ","))
		}
	}
}

func certState(o *certificatesv1.CertificateSigningRequest) string {
	has := map[certificatesv1.RequestConditionType]bool{}
	for _, c := range o.Status.Conditions {
		has[c.Type] = true
	}
	state := "Pending"
	switch {
	case has[certificatesv1.CertificateDenied]:
		state = "Denied"
	case has[certificatesv1.CertificateApproved]:
		state = "Approved"
	}
	if has[certificatesv1.CertificateFailed] {
		state += ",Failed"
	}
	if len(o.Status.Certificate) > 0 {
		state += ",Issued"
	}
	return state
}

// podCertRow is a request for a pod's certificate, as kubectl prints it.
func podCertRow(o *certificatesv1.PodCertificateRequest, _ string, _ time.Time) []string {
	state := "Pending"
	if c, ok := manifest.Settled(&o.Status); ok {
		state = c.Type
	}
	return []string{o.Name, o.Spec.PodName, o.Spec.ServiceAccountName, string(o.Spec.NodeName), o.Spec.SignerName, state, labelText(o.Spec.UnverifiedUserAnnotations)}
}
