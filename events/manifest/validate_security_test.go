package manifest

import (
	"slices"
	"testing"
)

func TestValidateSecurity(t *testing.T) {
	const pod, own = "spec.securityContext.", "spec.containers[0].securityContext."
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"all that is right", container + `    securityContext: {runAsUser: 1000, runAsGroup: 0, privileged: false, allowPrivilegeEscalation: false, procMount: Default,
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE, CAP_KILL, chown]}, seccompProfile: {type: Localhost, localhostProfile: a/b.json}}
  securityContext: {runAsUser: 2147483647, fsGroup: 1, supplementalGroups: [1, 2], fsGroupChangePolicy: OnRootMismatch, supplementalGroupsPolicy: Strict,
    seccompProfile: {type: Unconfined}, sysctls: [{name: net/ipv4/tcp_syncookies, value: "0"}, {name: kernel.shm_rmid_forced, value: "1"}]}
`, nil},
		{"ids", container + "    securityContext: {runAsGroup: -1}\n  securityContext: {runAsUser: -1, runAsGroup: 2147483648, fsGroup: -5, supplementalGroups: [1, -1]}\n",
			[]string{own + "runAsGroup: FieldValueInvalid", pod + "runAsUser: FieldValueInvalid", pod + "runAsGroup: FieldValueInvalid",
				pod + "fsGroup: FieldValueInvalid", pod + "supplementalGroups[1]: FieldValueInvalid"}},
		{"policies", container + "  securityContext: {fsGroupChangePolicy: Never, supplementalGroupsPolicy: Some}\n",
			[]string{pod + "fsGroupChangePolicy: FieldValueNotSupported", pod + "supplementalGroupsPolicy: FieldValueNotSupported"}},
		{"seccomp without a file", container + "  securityContext: {seccompProfile: {type: Localhost}}\n", []string{pod + "seccompProfile.localhostProfile: FieldValueRequired"}},
		{"seccomp file elsewhere", container + "  securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../x}}\n", []string{pod + "seccompProfile.localhostProfile: FieldValueInvalid"}},
		{"seccomp file for nothing", container + "  securityContext: {seccompProfile: {type: RuntimeDefault, localhostProfile: x}}\n", []string{pod + "seccompProfile.localhostProfile: FieldValueInvalid"}},
		{"seccomp type", container + "    securityContext: {seccompProfile: {type: Strict}}\n", []string{own + "seccompProfile.type: FieldValueNotSupported"}},
		{"unsafe sysctl", container + "  securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}\n", []string{pod + "sysctls[0].name: FieldValueForbidden"}},
		{"sysctl names", container + "  securityContext: {sysctls: [{value: '1'}, {name: 'A b', value: '1'}, {name: net.ipv4.tcp_rmem, value: '1'}, {name: net/ipv4/tcp_rmem, value: '1'}]}\n",
			[]string{pod + "sysctls[0].name: FieldValueRequired", pod + "sysctls[1].name: FieldValueInvalid", pod + "sysctls[3].name: FieldValueDuplicate"}},
		{"sysctl of the host", container + "  hostNetwork: true\n  securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}\n", []string{pod + "sysctls[0].name: FieldValueInvalid"}},
		{"capability", container + "    securityContext: {capabilities: {add: [NET_ADMN], drop: [CAP_ALLES]}}\n",
			[]string{own + "capabilities.add[0]: FieldValueNotSupported", own + "capabilities.drop[0]: FieldValueNotSupported"}},
		{"no escalation, but privileged", container + "    securityContext: {allowPrivilegeEscalation: false, privileged: true}\n", []string{own + "allowPrivilegeEscalation: FieldValueInvalid"}},
		{"no escalation, but SYS_ADMIN", container + "    securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [CAP_SYS_ADMIN]}}\n", []string{own + "allowPrivilegeEscalation: FieldValueInvalid"}},
		{"proc", container + "    securityContext: {procMount: Half}\n", []string{own + "procMount: FieldValueNotSupported"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := brief(validated(t, c.src)); !slices.Equal(got, c.want) {
				t.Errorf("got %v\nwant %v", got, c.want)
			}
		})
	}
}
