package manifest

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

const netpol = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n}\nspec: "

// policyOf is the policy with a spec, as it is kept.
func policyOf(t *testing.T, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	o := one(t, netpol+spec+"\n").Object.(*networkingv1.NetworkPolicy)
	Default(o)
	return o
}

// A policy breaks Kubernetes' rules in Kubernetes' words, each with its place, and all of them are told.
func TestNetworkPolicyRules(t *testing.T) {
	const cidr, port = "spec.ingress[0].from[0].ipBlock.cidr: ", "spec.ingress[0].ports[0]."
	const valid, subset = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)", "must be a strict subset of `cidr`"
	block := func(of string) string { return `{podSelector: {}, ingress: [{from: [{ipBlock: ` + of + `}]}]}` }
	ports := func(of string) string { return `{podSelector: {}, ingress: [{ports: [` + of + `]}]}` }
	for spec, want := range map[string][]string{
		`{}`: nil,
		`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`:                                                                               nil,
		`{podSelector: {}, ingress: [{from: [{podSelector: {}, namespaceSelector: {}}, {namespaceSelector: {}}, {podSelector: {matchLabels: {a: b}}}], ports: [{}]}]}`: nil,

		`{podSelector: {}, policyTypes: [Both]}`:                     {`spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"`},
		`{podSelector: {}, policyTypes: [""]}`:                       {`spec.policyTypes[0]: Unsupported value: "": supported values: "Ingress", "Egress"`},
		`{podSelector: {}, policyTypes: [Ingress, Egress, Ingress]}`: {`spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two policyTypes`},

		`{podSelector: {}, ingress: [{from: [{}]}]}`: {"spec.ingress[0].from[0]: Required value: must specify a peer"},
		`{podSelector: {}, egress: [{}, {to: [{namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}`: {
			"spec.egress[1].to[1]: Forbidden: may not specify both ipBlock and another peer"},
		`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}]}]}`: {
			"spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"},

		block(`{cidr: ""}`):                    {cidr + "Required value"},
		block(`{}`):                            {cidr + "Required value"},
		block(`{cidr: 10.0.0.0/8}`):            nil,
		block(`{cidr: "2001:DB8::/32"}`):       nil, // said otherwise by a warning
		block(`{cidr: 0.0.0.0/0}`):             nil,
		block(`{cidr: 10.0.0.0}`):              {cidr + `Invalid value: "10.0.0.0": ` + valid},
		block(`{cidr: 10.0.0.0/33}`):           {cidr + `Invalid value: "10.0.0.0/33": ` + valid},
		block(`{cidr: 010.0.0.0/8}`):           {cidr + `Invalid value: "010.0.0.0/8": must not have leading 0s in IP or prefix length`},
		block(`{cidr: 10.0.0.1/8}`):            {cidr + `Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length`},
		block(`{cidr: "::ffff:10.0.0.0/104"}`): {cidr + `Invalid value: "::ffff:10.0.0.0/104": must not have an IPv4-mapped IPv6 address`},

		block(`{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.3.4/32]}`): nil,
		block(`{cidr: 10.0.0.0/8, except: [10.0.0.0/8, 11.0.0.0/16, 0.0.0.0/0, "2001:db8::/64", nowhere]}`): {
			`spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": ` + subset, `spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "11.0.0.0/16": ` + subset,
			`spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: "0.0.0.0/0": ` + subset, `spec.ingress[0].from[0].ipBlock.except[3]: Invalid value: "2001:db8::/64": ` + subset,
			`spec.ingress[0].from[0].ipBlock.except[4]: Invalid value: "nowhere": ` + valid},

		ports(`{port: 80}, {port: http}, {protocol: SCTP, port: 1}, {protocol: UDP}, {port: 80, endPort: 80}, {port: 1, endPort: 65535}`): nil,
		ports(`{protocol: ICMP}`):              {port + `protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"`},
		ports(`{port: 0}`):                     {port + "port: Invalid value: 0: must be between 1 and 65535, inclusive"},
		ports(`{port: 70000}`):                 {port + "port: Invalid value: 70000: must be between 1 and 65535, inclusive"},
		ports(`{port: "80"}`):                  {port + `port: Invalid value: "80": must contain at least one letter (a-z)`},
		ports(`{port: Web}`):                   {port + `port: Invalid value: "Web": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`},
		ports(`{port: 80, endPort: 79}`):       {port + "endPort: Invalid value: 79: must be greater than or equal to `port`"},
		ports(`{port: 80, endPort: 65536}`):    {port + "endPort: Invalid value: 65536: must be between 1 and 65535, inclusive"},
		ports(`{port: http, endPort: 90}`):     {port + "endPort: Invalid value: 90: may not be specified when `port` is non-numeric"},
		ports(`{endPort: 90}`):                 {port + "endPort: Invalid value: 90: may not be specified when `port` is not specified"},
		ports(`{protocol: TCP}, {endPort: 1}`): {"spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is not specified"},

		`{podSelector: {matchExpressions: [{key: a, operator: In}]}}`:                                         {"spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"},
		`{podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: {a: "b c"}}}]}]}`:                 {`spec.egress[0].to[0].namespaceSelector.matchLabels[a]: Invalid value: "b c": a valid label must be`},
		`{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: Is}]}}]}]}`: {`spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator`},
	} {
		errs := Validate(policyOf(t, spec))
		if len(errs) != len(want) {
			t.Errorf("%s: %v, want %q", spec, errs, want)
			continue
		}
		for i, err := range errs {
			if !strings.HasPrefix(err.Error(), want[i]) {
				t.Errorf("%s: %q, want %q", spec, err, want[i])
			}
		}
	}
}

// What is wrong is told where it was written.
func TestNetworkPolicyPlaces(t *testing.T) {
	d := one(t, netpol+"\n  podSelector: {}\n  egress:\n  - to:\n    - ipBlock:\n        cidr: 10.0.0.0/8\n        except:\n        - 10.1.0.0/16\n        - 11.0.0.0/16\n    ports:\n    - {port: 80, endPort: 8}\n")
	Default(d.Object)
	var got []string
	for _, e := range Validate(d.Object) {
		got = append(got, d.Where(e.Field)+" "+e.Field)
	}
	want := []string{"test.yaml:14:18 spec.egress[0].ports[0].endPort", "test.yaml:12:11 spec.egress[0].to[0].ipBlock.except[1]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// A policy that names no directions holds for what comes in, and for what goes out when it has rules of that.
func TestNetworkPolicyDefaults(t *testing.T) {
	for spec, want := range map[string]string{
		`{podSelector: {}}`:                                 `["Ingress"]`,
		`{podSelector: {}, ingress: []}`:                    `["Ingress"]`,
		`{podSelector: {}, egress: []}`:                     `["Ingress"]`,
		`{podSelector: {}, egress: [{}]}`:                   `["Ingress","Egress"]`,
		`{podSelector: {}, policyTypes: [Egress]}`:          `["Egress"]`,
		`{policyTypes: [], ingress: [{}], egress: [{}]}`:    `["Ingress","Egress"]`,
		`{policyTypes: [Ingress], egress: [{ports: [{}]}]}`: `["Ingress"]`,
	} {
		if got := defaulted(t, netpol+spec+"\n", "spec.policyTypes"); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
	const both = `{ingress: [{ports: [{port: 1}, {protocol: UDP}]}], egress: [{}, {ports: [{}]}]}`
	for path, want := range map[string]string{"spec.ingress[0].ports": `[{"port":1,"protocol":"TCP"},{"protocol":"UDP"}]`, "spec.egress[1].ports": `[{"protocol":"TCP"}]`} {
		if got := defaulted(t, netpol+both+"\n", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// Every field is honoured; what of a valid policy comes to nothing is named.
func TestNetworkPolicyWarnings(t *testing.T) {
	for spec, want := range map[string][]string{
		`{policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}, namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{protocol: SCTP, port: 1, endPort: 2}]}], egress: [{to: [{podSelector: {}}], ports: [{port: a}]}]}`: nil,
		`{ingress: [{}, {from: [{podSelector: {}}, {ipBlock: {cidr: "2001:db8::/32"}}]}]}`: {
			`spec.ingress[1].from[1].ipBlock.cidr: pods have IPv4 addresses here: "2001:db8::/32" matches nobody`},
		`{egress: [{to: [{ipBlock: {cidr: "2001:DB8::/32", except: ["2001:db8:0:0::/64"]}}]}]}`: {
			`spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")`,
			`spec.egress[0].to[0].ipBlock.cidr: pods have IPv4 addresses here: "2001:DB8::/32" matches nobody`,
			`spec.egress[0].to[0].ipBlock.except[0]: IPv6 CIDR value "2001:db8:0:0::/64" should be in RFC 5952 canonical format ("2001:db8::/64")`},
		`{policyTypes: [Ingress], egress: [{}]}`: {"spec.egress: these rules have no effect: spec.policyTypes does not name Egress"},
		`{policyTypes: [Egress], ingress: [{}]}`: {"spec.ingress: these rules have no effect: spec.policyTypes does not name Ingress"},
		`{policyTypes: [Egress], ingress: []}`:   nil,
	} {
		d := one(t, netpol+spec+"\n")
		if warned, refused := Unhonoured(d); len(warned)+len(refused) > 0 {
			t.Errorf("%s: not honoured: %v %v", spec, warned, refused)
		}
		o := policyOf(t, spec)
		if errs := Validate(o); len(errs) > 0 {
			t.Errorf("%s: %v", spec, errs)
		}
		if got := Warnings(nil, o); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", spec, got, want)
		}
	}
}
