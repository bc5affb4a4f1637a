package manifest

import (
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// anchorOne is an authority's certificate, and leaf one of somebody who vouches for nobody.
const anchorOne = `-----BEGIN CERTIFICATE-----
MIH+MIGxoAMCAQICAQEwBQYDK2VwMA4xDDAKBgNVBAMTA29uZTAgFw0yNjAxMDEw
MDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowDjEMMAoGA1UEAxMDb25lMCowBQYDK2Vw
AyEAlBNXeUAI0avb8LabxNGWi1iCy06GgCSqPr+FW+o78eejMjAwMA8GA1UdEwEB
/wQFMAMBAf8wHQYDVR0OBBYEFEO6JN6wkJzOGjVK5UU4e7FyUrpWMAUGAytlcANB
AAgX+OtfqDU0YpVGy9p66dOypapzmJhgzmVuhCnGirpOJlWEY/vWvL0yRNflErUy
yN0KtmDXtoEmx2QVU6ZZaQE=
-----END CERTIFICATE-----
`
const leaf = `-----BEGIN CERTIFICATE-----
MIHeMIGRoAMCAQICAQEwBQYDK2VwMA8xDTALBgNVBAMTBGxlYWYwIBcNMjYwMTAx
MDAwMDAwWhgPMjEyNjAxMDEwMDAwMDBaMA8xDTALBgNVBAMTBGxlYWYwKjAFBgMr
ZXADIQCS6L9jRlvh7brCQ40Zg6Ifz4BKwFG35OahthNnTrU7cqMQMA4wDAYDVR0T
AQH/BAIwADAFBgMrZXADQQB4Evxv6HXoh9lYkC1YbintkRbjBg2WPVqTMfhpsDte
dStwx4QDpyELbiQhOf6K4uCY2OgPgdVFtYQx+onX5XEJ
-----END CERTIFICATE-----
`

// A bundle breaks Kubernetes' rules in Kubernetes' words.
func TestTrustBundleRules(t *testing.T) {
	block := func(kind string, headers map[string]string, raw string) string {
		b, _ := pem.Decode([]byte(anchorOne))
		if raw != "" {
			b.Bytes = []byte(raw)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: b.Bytes}))
	}
	for _, c := range []struct{ name, signer, bundle, want string }{
		{"plain", "", anchorOne, ""},
		{"example.com:one:x", "example.com/one", "some words\n" + anchorOne, ""},
		{"example.com:one:x", "", anchorOne, `metadata.name: Invalid value: "example.com:one:x": ClusterTrustBundle without signer name must not have ":" in its name`},
		{"plain", "example.com/one", anchorOne, `must be named with prefix example.com:one:`},
		{"example.com:one:A", "example.com/one", anchorOne, `metadata.name: Invalid value`},
		{"example:one:x", "example/one", anchorOne, `spec.signerName: Invalid value: "example": should be a domain with at least two segments`},
		{"plain", "", "", "spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided"},
		{"plain", "", anchorOne + anchorOne, "duplicate trust anchor (indices [0 1])"},
		{"plain", "", leaf, "entry 0 does not have the CA bit set"},
		{"plain", "", anchorOne + block("PRIVATE KEY", nil, ""), "entry 1 has bad block type: PRIVATE KEY"},
		{"plain", "", block("CERTIFICATE", map[string]string{"a": "b"}, ""), "entry 0 has PEM block headers"},
		{"plain", "", block("CERTIFICATE", nil, "x"), "entry 0 does not parse as X.509"},
		{"plain", "", strings.Repeat("x", 1<<20+1), "spec.trustBundle: Too long"},
	} {
		b := &certificatesv1.ClusterTrustBundle{Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: c.signer, TrustBundle: c.bundle}}
		b.Name = c.name
		errs := Validate(b).ToAggregate()
		if c.want == "" && errs != nil || c.want != "" && (errs == nil || !strings.Contains(errs.Error(), c.want)) {
			t.Errorf("%s of %q: %v, want %q", c.name, c.signer, errs, c.want)
		}
		if errs != nil && strings.Contains(errs.Error(), "MIH") {
			t.Errorf("%s: the error shows the bundle", c.name)
		}
	}
	was := &certificatesv1.ClusterTrustBundle{Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: "example.com/one"}}
	is := was.DeepCopy()
	is.Spec.SignerName = "example.com/two"
	if errs := ValidateUpdate(was, is).ToAggregate(); errs == nil || !strings.Contains(errs.Error(), "spec.signerName: Invalid value: \"example.com/two\": field is immutable") {
		t.Errorf("%v", errs)
	}
}

func TestTrustSourceRules(t *testing.T) {
	for source, want := range map[string]string{
		`{name: plain, path: p}`:                   "",
		`{name: "example.com:one:x", path: p}`:     "",
		`{signerName: example.com/one, path: a/b}`: "",
		`{signerName: example.com/one, labelSelector: {matchLabels: {a: b}}, path: p, optional: true}`: "",
		`{path: p}`: "either name or signerName must be specified",
		`{name: a, signerName: example.com/one, path: p}`: "only one of name and signerName may be used",
		`{name: "", path: p}`:                             "clusterTrustBundle.name: Required value: must be a valid object name",
		`{name: "a:B", path: p}`:                          `clusterTrustBundle.name: Invalid value: "a:B": not a valid clustertrustbundlename`,
		`{name: a, labelSelector: {}, path: p}`:           "labelSelector must be unset if name is specified",
		`{signerName: one, path: p}`:                      "clusterTrustBundle.signerName: Invalid value",
		`{signerName: example.com/one, labelSelector: {matchLabels: {"-": b}}, path: p}`: "clusterTrustBundle.labelSelector",
		`{name: a}`:              "clusterTrustBundle.path: Required value",
		`{name: a, path: ../x}`:  "must not contain '..'",
		`{name: a, path: twice}`: "conflicting duplicate paths",
	} {
		text := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: x}], volumes: [{name: v, projected: {sources: [" +
			"{configMap: {name: c, items: [{key: k, path: twice}]}}, {clusterTrustBundle: " + source + "}]}}]}\n"
		docs, problems := Decode("p.yaml", []byte(text))
		if len(problems) > 0 || len(docs) != 1 {
			t.Fatalf("%s: %v", source, problems)
		}
		Default(docs[0].Object)
		errs := Validate(docs[0].Object).ToAggregate()
		if want == "" && errs != nil || want != "" && (errs == nil || !strings.Contains(fmt.Sprint(errs), want)) {
			t.Errorf("%s: %v, want %q", source, errs, want)
		}
	}
}
