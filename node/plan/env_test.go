package plan

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/projections"
)

var testNode = Node{Name: "n1", Hostname: "machine", IP: "192.0.2.1", CPU: resource.MustParse("4"), Memory: resource.MustParse("8Gi"), DNS: "10.96.0.10", Domain: "cluster.local"}

func ref(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

func fieldVar(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func resourceVar(name, res, divisor string) corev1.EnvVar {
	r := &corev1.ResourceFieldSelector{Resource: res}
	if divisor != "" {
		r.Divisor = resource.MustParse(divisor)
	}
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: r}}
}

func keyVar(name, config, key string, optional bool) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref(config), Key: key, Optional: &optional}}}
}

func envRow() *projections.DesiredPod {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Pod.UID = "" // the row's own counts
	row.Pod.Labels = map[string]string{"app": "web"}
	row.Pod.Annotations = map[string]string{"x.y/z": "note"}
	row.Pod.Spec.ServiceAccountName = "robot"
	row.ConfigMaps = map[string]projections.ConfigData{"cfg": {Data: map[string]string{"b": "2", "a": "1"}}}
	row.Services = []projections.ServiceEnv{{Name: "my-db", IP: "10.96.0.7", Ports: []corev1.ServicePort{{Name: "pg-main", Port: 5432, Protocol: "TCP"}, {Port: 53, Protocol: "UDP"}}},
		{Name: "headless", IP: "None", Ports: []corev1.ServicePort{{Port: 1}}}}
	return row
}

func TestEnv(t *testing.T) {
	row := envRow()
	c := corev1.Container{Name: "a"}
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")}
	c.EnvFrom = []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("cfg")}}}
	c.Env = []corev1.EnvVar{
		{Name: "PLAIN", Value: "v"}, {Name: "TWICE", Value: "$(PLAIN)-$(P_a)-$$(PLAIN)-$(NONE)-$"}, {Name: "DB", Value: "$(MY_DB_SERVICE_HOST)"},
		keyVar("KEY", "cfg", "a", false), keyVar("ABSENT", "cfg", "none", true), keyVar("ABSENT2", "none", "a", true),
		fieldVar("NAME", "metadata.name"), fieldVar("NS", "metadata.namespace"), fieldVar("UID", "metadata.uid"), fieldVar("APP", "metadata.labels['app']"),
		fieldVar("NOTE", "metadata.annotations['x.y/z']"), fieldVar("NODE", "spec.nodeName"), fieldVar("SA", "spec.serviceAccountName"),
		fieldVar("IP", "status.podIP"), fieldVar("HOST", "status.hostIP"),
		resourceVar("CPU", "limits.cpu", ""), resourceVar("MILLI", "limits.cpu", "1m"), resourceVar("MEM", "limits.memory", "1Mi"),
		{Name: "PLAIN", Value: "last wins"},
	}
	e, err := Env(row, c, testNode, "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	got := e.List()
	for _, want := range []string{
		"HOSTNAME=web", "P_a=1", "P_b=2", "PLAIN=last wins", "TWICE=v-1-$(PLAIN)-$(NONE)-$", "DB=10.96.0.7", "KEY=1", "NAME=web", "NS=default", "UID=u1",
		"APP=web", "NOTE=note", "NODE=n1", "SA=robot", "IP=10.0.0.2", "HOST=192.0.2.1", "CPU=2", "MILLI=1500", "MEM=8192",
		"MY_DB_SERVICE_HOST=10.96.0.7", "MY_DB_SERVICE_PORT=5432", "MY_DB_SERVICE_PORT_PG_MAIN=5432", "MY_DB_PORT=tcp://10.96.0.7:5432",
		"MY_DB_PORT_5432_TCP=tcp://10.96.0.7:5432", "MY_DB_PORT_5432_TCP_PROTO=tcp", "MY_DB_PORT_53_UDP_ADDR=10.96.0.7", "MY_DB_PORT_53_UDP_PORT=53",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	for _, e := range got {
		if strings.HasPrefix(e, "ABSENT") || strings.HasPrefix(e, "HEADLESS") {
			t.Errorf("%s is set", e)
		}
	}
	if got := e.Expand([]string{"echo", "$(PLAIN) $(NONE)"}); got[1] != "last wins $(NONE)" {
		t.Errorf("command: %q", got)
	}
	off := false
	row.Pod.Spec.EnableServiceLinks = &off
	if e, _ := Env(row, corev1.Container{}, testNode, ""); len(e.List()) != 1 {
		t.Errorf("without service links: %q", e.List())
	}
}

func TestEnvSaysWhatIsMissing(t *testing.T) {
	for want, v := range map[string]corev1.EnvVar{
		`configmap "none" not found`:                    keyVar("X", "none", "a", false),
		"couldn't find key zz in ConfigMap default/cfg": keyVar("X", "cfg", "zz", false),
		"unsupported fieldPath: spec.none":              fieldVar("X", "spec.none"),
		"unsupported container resource: none":          resourceVar("X", "none", ""),
		`secret "s" not found`:                          {Name: "X", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("s")}}},
		"valueFrom without a source that is supported":  {Name: "X", ValueFrom: &corev1.EnvVarSource{}},
	} {
		_, err := Env(envRow(), corev1.Container{Env: []corev1.EnvVar{v}}, testNode, "")
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestHostname(t *testing.T) {
	yes, own := true, "own.example"
	for _, c := range []struct {
		name string
		edit func(*corev1.Pod)
		want string
	}{
		{"its name", func(*corev1.Pod) {}, "web"},
		{"a long name", func(p *corev1.Pod) { p.Name = strings.Repeat("a", 62) + "-b" }, strings.Repeat("a", 62)},
		{"its own", func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "h", "sub" }, "h"},
		{"in full", func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "h", "sub", &yes }, "h.sub.default.svc.cluster.local"},
		{"in full, without a subdomain", func(p *corev1.Pod) { p.Spec.SetHostnameAsFQDN = &yes }, "web"},
		{"whatever else is said", func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain, p.Spec.HostnameOverride = "h", "sub", &own }, "own.example"},
		{"the node's", func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.HostNetwork = "h", true }, "machine"},
	} {
		pod := rowOf("Always").Pod
		c.edit(&pod)
		if got := Hostname(&pod, testNode); got != c.want || HostnameError(&pod, testNode) != nil {
			t.Errorf("%s: %s, %v", c.name, got, HostnameError(&pod, testNode))
		}
	}
	pod := rowOf("Always").Pod
	pod.Spec.Hostname, pod.Spec.Subdomain, pod.Spec.SetHostnameAsFQDN = strings.Repeat("h", 40), "sub", &yes
	if err := HostnameError(&pod, testNode); err == nil || !strings.Contains(err.Error(), "64 characters is the max, 70 characters requested") {
		t.Error(err)
	}
}

func TestHostsFile(t *testing.T) {
	pod := rowOf("Always").Pod
	pod.Spec.Hostname, pod.Spec.Subdomain = "h", "sub"
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.9", Hostnames: []string{"x", "y"}}}
	got := HostsFile(&pod, testNode, "10.0.0.2", "")
	for _, want := range []string{"127.0.0.1\tlocalhost\n", "10.0.0.2\th.sub.default.svc.cluster.local\th\n", "192.0.2.9\tx\ty\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	own := "own.example"
	pod.Spec.HostnameOverride = &own
	if got := HostsFile(&pod, testNode, "10.0.0.2", ""); !strings.Contains(got, "10.0.0.2\town.example\n") {
		t.Errorf("a name that overrides: %s", got)
	}
	pod.Spec.HostNetwork = true
	if got := HostsFile(&pod, testNode, "192.0.2.1", "192.0.2.1 host\n"); !strings.Contains(got, "192.0.2.1 host\n") || strings.Contains(got, "sub") {
		t.Errorf("host network: %s", got)
	}
}

func TestResolvConf(t *testing.T) {
	const host = "# comment\nsearch corp.example\nnameserver 192.0.2.53\noptions timeout:1\n"
	two, none := "2", ""
	for _, tt := range []struct {
		name string
		edit func(*corev1.PodSpec)
		want string
	}{
		{"cluster first", func(*corev1.PodSpec) {}, "search default.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n"},
		{"default", func(s *corev1.PodSpec) { s.DNSPolicy = corev1.DNSDefault }, "search corp.example\nnameserver 192.0.2.53\noptions timeout:1\n"},
		{"host network", func(s *corev1.PodSpec) { s.DNSPolicy, s.HostNetwork = corev1.DNSClusterFirst, true }, "search corp.example\nnameserver 192.0.2.53\noptions timeout:1\n"},
		{"cluster first with host network", func(s *corev1.PodSpec) { s.DNSPolicy, s.HostNetwork = corev1.DNSClusterFirstWithHostNet, true },
			"search default.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n"},
		{"none", func(s *corev1.PodSpec) {
			s.DNSPolicy, s.DNSConfig = corev1.DNSNone, &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.8"}, Searches: []string{"x"}}
		}, "search x\nnameserver 192.0.2.8\n"},
		{"options", func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "edns0"}}}
		}, "search default.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:2 edns0\n"},
		{"an option with nothing as its value", func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "use-vc", Value: &none}}}
		}, "search default.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5 use-vc\n"},
	} {
		pod := rowOf("Always").Pod
		tt.edit(&pod.Spec)
		if got := ResolvConf(&pod, testNode, host); got != tt.want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, tt.want)
		}
	}
}
