package ration

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func specOf(t *testing.T, text string) *corev1.PodSpec {
	t.Helper()
	var s corev1.PodSpec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// careful is a pod that the restricted profile lets be.
const careful = `"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},` +
	`"containers":[{"name":"a","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]}}}]`

// The rules in Kubernetes' words, of which each was compared with its own code on pods changed at random.
func TestSecurity(t *testing.T) {
	usual := `"containers":[{"name":"a"},{"name":"b"}]`
	one := func(security string) string { return `"containers":[{"name":"a","securityContext":` + security + `}]` }
	for _, c := range []struct{ profile, spec, want string }{
		{"privileged", `"hostPID":true,` + one(`{"privileged":true}`), ""},
		{"baseline", usual, ""},
		{"baseline", `"hostNetwork":true,"hostIPC":true,` + usual, `host namespaces (hostNetwork=true, hostIPC=true)`},
		{"baseline", one(`{"privileged":true}`), `privileged (container "a" must not set securityContext.privileged=true)`},
		{"baseline", one(`{"capabilities":{"add":["SYS_ADMIN","CHOWN","NET_ADMIN"]}}`), `non-default capabilities (container "a" must not include "NET_ADMIN", "SYS_ADMIN" in securityContext.capabilities.add)`},
		{"baseline", `"volumes":[{"name":"v","hostPath":{"path":"/"}},{"name":"w","hostPath":{"path":"/"}}],` + usual, `hostPath volumes (volumes "v", "w")`},
		{"baseline", `"containers":[{"name":"a","ports":[{"containerPort":1,"hostPort":80}]}]`, `hostPort (container "a" uses hostPort 80)`},
		{"baseline", `"containers":[{"name":"a","livenessProbe":{"httpGet":{"host":"169.254.169.254","port":80}}}]`, `probe or lifecycle host (container "a" uses probe or lifecycle host "169.254.169.254")`},
		{"baseline:v1.33", `"containers":[{"name":"a","livenessProbe":{"httpGet":{"host":"169.254.169.254","port":80}}}]`, ``},
		{"baseline", one(`{"procMount":"Unmasked"}`), `procMount (container "a" must not set securityContext.procMount to "Unmasked")`},
		{"baseline", `"hostUsers":false,` + one(`{"procMount":"Unmasked"}`), ""},
		{"baseline", `"securityContext":{"seLinuxOptions":{"type":"spc_t","user":"u"}},` + one(`{"seLinuxOptions":{"role":"r"}}`), `seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)`},
		{"baseline", one(`{"seccompProfile":{"type":"Unconfined"}}`), `seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")`},
		{"baseline", `"securityContext":{"appArmorProfile":{"type":"Unconfined"}},` + usual, `forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")`},
		{"baseline:v1.31", `"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem","value":"1"},{"name":"net.ipv4.tcp_syncookies","value":"1"}]},` + usual, `forbidden sysctls (net.ipv4.tcp_rmem)`},
		{"baseline", `"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem","value":"1"},{"name":"kernel.msgmax","value":"1"}]},` + usual, `forbidden sysctls (kernel.msgmax)`},
		{"baseline", one(`{"windowsOptions":{"hostProcess":true}}`), `hostProcess (container "a" must not set securityContext.windowsOptions.hostProcess=true)`},
		{"baseline", `"ephemeralContainers":[{"name":"e","securityContext":{"privileged":true}}],` + usual, `privileged (container "e" must not set securityContext.privileged=true)`},
		{"restricted", careful, ""},
		{"restricted", usual, `allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), ` +
			`runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`},
		{"restricted", `"volumes":[{"name":"v","hostPath":{"path":"/"}},{"name":"n","nfs":{"server":"s","path":"/"}},{"name":"c","configMap":{"name":"c"}}],` + careful, `restricted volume types (volumes "v", "n" use restricted volume types "hostPath", "nfs")`},
		{"restricted", strings.Replace(careful, `"runAsNonRoot":true`, `"runAsNonRoot":true,"runAsUser":0`, 1), `runAsUser=0 (pod must not set runAsUser=0)`},
		{"restricted", strings.Replace(careful, `"runAsNonRoot":true`, `"runAsNonRoot":false`, 1), `runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)`},
		{"restricted", strings.Replace(careful, `"NET_BIND_SERVICE"`, `"CHOWN"`, 1), `unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)`},
		{"restricted:v1.18", strings.Replace(careful, `,"seccompProfile":{"type":"RuntimeDefault"}`, ``, 1), ""},
	} {
		level, version, dated := strings.Cut(c.profile, ":")
		labels := map[string]string{"pod-security.kubernetes.io/enforce": level}
		if dated {
			labels["pod-security.kubernetes.io/enforce-version"] = version
		}
		s, errs := SecurityOf(labels)
		want := c.want
		if want != "" {
			want = `violates PodSecurity "` + s.Enforce.String() + `": ` + want
		}
		if got := s.Enforced(nil, specOf(t, "{"+c.spec+"}")); got != want || len(errs) > 0 || s.Lax() != (level == "privileged") {
			t.Errorf("%s of %s (%v):\nhave %s\nwant %s", c.profile, c.spec, errs, got, want)
		}
	}
	old, _ := SecurityOf(map[string]string{"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.18"})
	if got := old.Enforced(map[string]string{"seccomp.security.alpha.kubernetes.io/pod": "unconfined", "container.apparmor.security.beta.kubernetes.io/a": "unconfined"}, specOf(t, "{"+usual+"}")); got !=
		`violates PodSecurity "baseline:v1.18": forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/a="unconfined""), seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")` {
		t.Error(got)
	}
}

// What cannot be read enforces the most and warns of nothing; who enforces warns too, unless it says otherwise.
func TestSecurityLabels(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "privileged:latest privileged:latest 0",
		"enforce=restricted":                     "restricted:latest restricted:latest 0",
		"enforce=restricted warn=baseline":       "restricted:latest baseline:latest 0",
		"enforce=baseline enforce-version=v1.20": "baseline:v1.20 baseline:v1.20 0",
		"enforce=baseline enforce-version=v1.20 warn-version=v1.99": "baseline:v1.20 baseline:v1.99 0",
		"enforce=odd":                           "restricted:latest privileged:latest 1",
		"warn=odd audit=odd":                    "privileged:latest privileged:latest 2",
		"enforce=baseline enforce-version=1":    "baseline:latest baseline:latest 1",
		"audit=restricted audit-version=v1.020": "privileged:latest privileged:latest 1",
	} {
		labels := map[string]string{"other": "x"}
		for _, l := range strings.Fields(text) {
			k, v, _ := strings.Cut(l, "=")
			labels["pod-security.kubernetes.io/"+k] = v
		}
		s, errs := SecurityOf(labels)
		if got := s.Enforce.String() + " " + s.Warn.String() + " " + string(rune('0'+len(errs))); got != want {
			t.Errorf("%s: %s, want %s (%v)", text, got, want, errs)
		}
	}
}

func TestResecured(t *testing.T) {
	pod := func(spec string) *corev1.PodSpec { return specOf(t, "{"+spec+"}") }
	old := pod(`"containers":[{"name":"a","image":"b"}],"ephemeralContainers":[{"name":"e","image":"f"}]`)
	for spec, want := range map[string]bool{
		`"activeDeadlineSeconds":5,"containers":[{"name":"a","image":"b"}],"ephemeralContainers":[{"name":"e","image":"f"}]`: false,
		`"containers":[{"name":"a","image":"c"}],"ephemeralContainers":[{"name":"e","image":"f"}]`:                           true,
		`"containers":[{"name":"a","image":"b"}],"ephemeralContainers":[{"name":"e","image":"f"},{"name":"g","image":"f"}]`:  true,
		`"initContainers":[{"name":"i","image":"b"}],"containers":[{"name":"a","image":"b"}],"ephemeralContainers":[]`:       true,
	} {
		if got := Resecured(old, pod(spec)); got != want {
			t.Errorf("%s: %v", spec, got)
		}
	}
}
