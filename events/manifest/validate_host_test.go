package manifest

import (
	"slices"
	"strings"
	"testing"
)

func TestValidateHost(t *testing.T) {
	must := func(term string) string {
		return container + "  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" + term + "]}}}\n"
	}
	const terms = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
	const liked = "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]."
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"the node's network", container + "    ports: [{containerPort: 80}]\n  hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet\n  hostPID: true\n  hostIPC: true\n", nil},
		{"another port", container + "    ports: [{containerPort: 80, hostPort: 81}]\n  hostNetwork: true\n", []string{"spec.containers[0].ports[0].containerPort: FieldValueInvalid"}},
		{"an address", container + "    ports: [{containerPort: 80, hostPort: 81, hostIP: 192.0.2.1}]\n", nil},
		{"no address", container + "    ports: [{containerPort: 80, hostPort: 81, hostIP: here}]\n", []string{"spec.containers[0].ports[0].hostIP: FieldValueInvalid"}},
		{"two ways to see processes", container + "  hostPID: true\n  shareProcessNamespace: true\n", []string{"spec.shareProcessNamespace: FieldValueInvalid"}},
		{"aliases", container + "  hostAliases: [{ip: 192.0.2.1, hostnames: [a, b.example]}, {ip: x, hostnames: ['A b']}]\n",
			[]string{"spec.hostAliases[1].ip: FieldValueInvalid", "spec.hostAliases[1].hostnames[0]: FieldValueInvalid"}},
		{"a name that overrides", container + "  hostname: a\n  subdomain: b\n  hostnameOverride: own.example\n", nil},
		{"one with another", container + "  setHostnameAsFQDN: true\n  hostNetwork: true\n  hostnameOverride: own\n", []string{"spec.hostnameOverride: FieldValueForbidden", "spec.hostnameOverride: FieldValueForbidden"}},
		{"none", container + "  hostnameOverride: Not_A-Name" + strings.Repeat("x", 64) + "\n", []string{"spec.hostnameOverride: FieldValueTooLong", "spec.hostnameOverride: FieldValueInvalid"}},
		{"systems", container + "  os: {name: windows}\n", nil},
		{"options of another system", container + "    securityContext: {windowsOptions: {runAsUserName: x}}\n  securityContext: {windowsOptions: {runAsUserName: x}}\n  os: {name: linux}\n",
			[]string{"spec.securityContext.windowsOptions: FieldValueForbidden", "spec.containers[0].securityContext.windowsOptions: FieldValueForbidden"}},
		{"another system", container + "  os: {name: plan9}\n", []string{"spec.os: FieldValueNotSupported"}},
		{"gates", container + "  schedulingGates: [{name: a}, {name: b.example/c}, {name: a}, {name: 'a b'}]\n  nodeName: n1\n",
			[]string{"spec.schedulingGates[2]: FieldValueDuplicate", "spec.schedulingGates[3]: FieldValueInvalid", "spec.nodeName: FieldValueForbidden"}},
		{"terms", must("{matchExpressions: [{key: a, operator: In, values: [x]}, {key: b, operator: Gt, values: ['3']}, {key: c, operator: Exists}], matchFields: [{key: metadata.name, operator: In, values: [n1]}]}, {}"), nil},
		{"no terms", must(""), []string{terms + ": FieldValueRequired"}},
		{"operators", must("{matchExpressions: [{key: a, operator: In}, {key: b, operator: Lt, values: [x]}, {key: c, operator: Exists, values: [x]}, {key: d, operator: Like}, {key: e, operator: Gt}, {key: 'f f', operator: Exists}]}"),
			[]string{terms + "[0].matchExpressions[0].values: FieldValueRequired", terms + "[0].matchExpressions[1].values[0]: FieldValueInvalid", terms + "[0].matchExpressions[2].values: FieldValueForbidden",
				terms + "[0].matchExpressions[3].operator: FieldValueInvalid", terms + "[0].matchExpressions[4].values: FieldValueRequired", terms + "[0].matchExpressions[5].key: FieldValueInvalid"}},
		{"fields", must("{matchFields: [{key: spec.x, operator: Exists}, {key: metadata.name, operator: In, values: ['A b']}]}"),
			[]string{terms + "[0].matchFields[0].key: FieldValueInvalid", terms + "[0].matchFields[0].operator: FieldValueNotSupported", terms + "[0].matchFields[0].values: FieldValueRequired",
				terms + "[0].matchFields[1].values[0]: FieldValueInvalid"}},
		{"weight", container + "  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, preference: {matchExpressions: [{key: a, operator: In}]}}]}}\n",
			[]string{liked + "weight: FieldValueInvalid", liked + "preference.matchExpressions[0].values: FieldValueRequired"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := brief(validated(t, c.src)); !slices.Equal(got, c.want) {
				t.Errorf("got %v\nwant %v", got, c.want)
			}
		})
	}
}
