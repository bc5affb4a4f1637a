package ration

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

func amounts(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func pod(requests, limits corev1.ResourceList) Thing {
	return Thing{Resource: events.Pods, Pod: &corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}}}}
}

func TestTake(t *testing.T) {
	deadline := int64(5)
	ending := pod(nil, nil)
	ending.Pod.ActiveDeadlineSeconds = &deadline
	high := pod(nil, nil)
	high.Pod.PriorityClassName = "high"
	abroad := pod(nil, nil)
	abroad.Pod.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{Namespaces: []string{"x"}}}}}
	spec := func(hard corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes}
	}
	classes := func(op corev1.ScopeSelectorOperator, values ...string) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{Hard: amounts("pods", "0"), ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
			{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: op, Values: values}}}}
	}
	full := "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
	small := pod(amounts("cpu", "100m", "memory", "64Mi"), amounts("cpu", "200m"))
	for _, c := range []struct {
		name string
		spec corev1.ResourceQuotaSpec
		used corev1.ResourceList
		next Thing
		said string
	}{
		{"room", spec(amounts("pods", "2")), amounts("pods", "1"), small, ""},
		{"none", spec(amounts("pods", "2", "requests.cpu", "1")), amounts("pods", "2"), small, "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"},
		{"the last of it", spec(amounts("cpu", "1")), amounts("cpu", "900m"), small, ""},
		{"several", spec(amounts("cpu", "1", "requests.memory", "100Mi", "limits.cpu", "10")), amounts("cpu", "950m", "requests.memory", "64Mi"), small,
			"exceeded quota: q, requested: cpu=100m,requests.memory=64Mi, used: cpu=950m,requests.memory=64Mi, limited: cpu=1,requests.memory=100Mi"},
		{"over already, by something else", spec(amounts("pods", "2", "configmaps", "1")), amounts("configmaps", "5"), small, ""},
		{"nothing said", spec(amounts("limits.cpu", "1", "memory", "1Gi", "limits.memory", "1Gi", "requests.ephemeral-storage", "1Gi")), nil, pod(nil, amounts("cpu", "1")),
			"failed quota: q: must specify limits.memory for: c; memory for: c"},
		{"a deadline", spec(amounts("pods", "0"), corev1.ResourceQuotaScopeTerminating), nil, ending, full},
		{"no deadline", spec(amounts("pods", "0"), corev1.ResourceQuotaScopeTerminating), nil, small, ""},
		{"not without", spec(amounts("pods", "0"), corev1.ResourceQuotaScopeNotTerminating), nil, ending, ""},
		{"best effort", spec(amounts("pods", "0"), corev1.ResourceQuotaScopeBestEffort), nil, pod(nil, nil), full},
		{"better", spec(amounts("pods", "0"), corev1.ResourceQuotaScopeBestEffort), nil, small, ""},
		{"both scopes", spec(amounts("pods", "0"), corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeNotTerminating), nil, small, full},
		{"of a class", classes(corev1.ScopeSelectorOpIn, "high"), nil, high, full},
		{"of none", classes(corev1.ScopeSelectorOpIn, "high"), nil, small, ""},
		{"of others", classes(corev1.ScopeSelectorOpNotIn, "low"), nil, small, full},
		{"of any", classes(corev1.ScopeSelectorOpExists), nil, small, ""},
		{"of no class", classes(corev1.ScopeSelectorOpDoesNotExist), nil, small, full},
		{"other namespaces", spec(amounts("pods", "0"), corev1.ResourceQuotaScopeCrossNamespacePodAffinity), nil, abroad, full},
		{"a config map is in no scope", spec(amounts("count/configmaps", "0"), corev1.ResourceQuotaScopeNotTerminating), nil, Thing{Resource: events.ConfigMaps}, ""},
		{"any kind", spec(amounts("count/things.example.com", "1")), amounts("count/things.example.com", "1"), Thing{Resource: "things.example.com"},
			"exceeded quota: q, requested: count/things.example.com=1, used: count/things.example.com=1, limited: count/things.example.com=1"},
		{"hugepages and what nodes have few of", spec(amounts("requests.example.com/gpu", "1", "hugepages-2Mi", "2Mi")), nil, pod(amounts("example.com/gpu", "2", "hugepages-2Mi", "4Mi"), nil),
			"exceeded quota: q, requested: hugepages-2Mi=4Mi,requests.example.com/gpu=2, used: hugepages-2Mi=0,requests.example.com/gpu=0, limited: hugepages-2Mi=2Mi,requests.example.com/gpu=1"},
	} {
		q := Quota{Name: "q", Spec: &c.spec, Used: c.used}
		if said := q.Take(Thing{}, c.next); said != c.said {
			t.Errorf("%s: %s\nwant %s", c.name, said, c.said)
		}
	}
}

func amount(s string) *resource.Quantity { q := resource.MustParse(s); return &q }

// Claims count by number and size, in all and of their class; more is what growth asks for.
func TestClaimsAreCounted(t *testing.T) {
	q := Quota{Name: "q", Spec: &corev1.ResourceQuotaSpec{Hard: amounts("requests.storage", "5Gi", "persistentvolumeclaims", "3",
		"local.storageclass.storage.k8s.io/requests.storage", "3Gi", "local.storageclass.storage.k8s.io/persistentvolumeclaims", "2")}}
	claim := func(size, class string) Thing {
		return Thing{Resource: events.Claims, Storage: amount(size), Class: class}
	}
	for i, step := range []struct {
		was, next Thing
		want      string
	}{
		{Thing{}, claim("2Gi", "local"), ""},
		{Thing{}, claim("2Gi", "local"), "exceeded quota: q, requested: local.storageclass.storage.k8s.io/requests.storage=2Gi, used: local.storageclass.storage.k8s.io/requests.storage=2Gi, limited: local.storageclass.storage.k8s.io/requests.storage=3Gi"},
		{Thing{}, claim("2Gi", "other"), ""},
		{Thing{}, claim("1Gi", "local"), ""},
		{Thing{}, claim("1", ""), "exceeded quota: q, requested: persistentvolumeclaims=1,requests.storage=1, used: persistentvolumeclaims=3,requests.storage=5Gi, limited: persistentvolumeclaims=3,requests.storage=5Gi"},
		{claim("2Gi", "other"), claim("3Gi", "other"), "exceeded quota: q, requested: requests.storage=1Gi, used: requests.storage=5Gi, limited: requests.storage=5Gi"},
		{claim("2Gi", "other"), Thing{}, ""},
		{claim("1Gi", "local"), claim("2Gi", "local"), "exceeded quota: q, requested: local.storageclass.storage.k8s.io/requests.storage=1Gi, used: local.storageclass.storage.k8s.io/requests.storage=3Gi, limited: local.storageclass.storage.k8s.io/requests.storage=3Gi"},
	} {
		if said := q.Take(step.was, step.next); said != step.want {
			t.Errorf("step %d: %s\nwant %s", i, said, step.want)
		}
	}
	if got := Counted(q.Spec.Hard); len(got) != 1 || got[0] != events.Claims {
		t.Errorf("counts %v", got)
	}
}

func TestLimitsOfClaims(t *testing.T) {
	ranges := []*corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypePersistentVolumeClaim, Min: amounts("storage", "1Gi"), Max: amounts("storage", "2Gi")}, {Type: corev1.LimitTypePod, Max: amounts("cpu", "1")}}}}}
	for size, want := range map[string]string{"1Gi": "", "2Gi": "", "500Mi": "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi",
		"3Gi": "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"} {
		if said := ClaimBreach(amounts("storage", size), ranges); said != want {
			t.Errorf("%s: %q, want %q", size, said, want)
		}
	}
}

// What is taken is there for nobody else; what is given back is.
func TestTakeCounts(t *testing.T) {
	q := Quota{Name: "q", Spec: &corev1.ResourceQuotaSpec{Hard: amounts("pods", "2", "services.nodeports", "1")}}
	one := pod(nil, nil)
	service := func(ports int) Thing {
		return Thing{Resource: events.Services, Service: &corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: make([]corev1.ServicePort, ports)}}
	}
	for _, step := range []struct {
		was, next Thing
		fits      bool
	}{{Thing{}, one, true}, {Thing{}, one, true}, {Thing{}, one, false}, {one, Thing{}, true}, {Thing{}, one, true},
		{Thing{}, service(1), true}, {service(1), service(2), false}, {service(1), service(1), true}} {
		if said := q.Take(step.was, step.next); (said == "") != step.fits {
			t.Errorf("%+v: %q, used %v", step, said, q.Used)
		}
	}
}

func TestLimits(t *testing.T) {
	limits := []*corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Min: amounts("cpu", "50m"), Max: amounts("cpu", "500m"), Default: amounts("cpu", "200m"), DefaultRequest: amounts("cpu", "100m", "memory", "64Mi"),
			MaxLimitRequestRatio: amounts("cpu", "4")},
		{Type: corev1.LimitTypePod, Max: amounts("memory", "1Gi")}}}}}
	for _, c := range []struct {
		name             string
		requests, limits corev1.ResourceList
		gave, said       string
	}{
		{"nothing said", nil, amounts("memory", "64Mi"), "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c", ""},
		{"all said", amounts("cpu", "50m", "memory", "1"), amounts("cpu", "200m", "memory", "1Gi"), "", ""},
		{"too little", amounts("cpu", "10m", "memory", "1"), amounts("cpu", "40m", "memory", "1"), "", "minimum cpu usage per Container is 50m, but request is 10m"},
		{"too much", amounts("cpu", "1", "memory", "1"), amounts("cpu", "2", "memory", "1"), "", "maximum cpu usage per Container is 500m, but limit is 2"},
		{"too far apart", amounts("cpu", "50m", "memory", "1"), amounts("cpu", "300m", "memory", "2Gi"), "",
			"[cpu max limit to request ratio per Container is 4, but provided ratio is 6.000000, maximum memory usage per Pod is 1Gi, but limit is 2Gi]"},
		{"no limit where there is one", amounts("cpu", "50m", "memory", "1"), amounts("cpu", "100m"), "", "maximum memory usage per Pod is 1Gi.  No limit is specified"},
	} {
		spec := pod(c.requests, c.limits).Pod
		if gave := Defaults(spec, limits); gave != c.gave {
			t.Errorf("%s: gave %q, want %q", c.name, gave, c.gave)
		}
		if said := Breach(spec, limits); said != c.said {
			t.Errorf("%s: %q\nwant %q", c.name, said, c.said)
		}
		if again := Defaults(spec, limits); again != "" {
			t.Errorf("%s: gave once more: %s", c.name, again)
		}
	}
}

// An init container counts when it asks for more than all that run later, with the sidecars before it.
func TestSum(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	c := func(cpu string, sidecar bool) corev1.Container {
		x := corev1.Container{Resources: corev1.ResourceRequirements{Requests: amounts("cpu", cpu)}}
		if sidecar {
			x.RestartPolicy = &always
		}
		return x
	}
	for _, w := range []struct {
		init, run []corev1.Container
		cpu       string
	}{
		{nil, []corev1.Container{c("1", false), c("2", false)}, "3"},
		{[]corev1.Container{c("4", false)}, []corev1.Container{c("1", false)}, "4"},
		{[]corev1.Container{c("1", true), c("4", false)}, []corev1.Container{c("1", false)}, "5"},
		{[]corev1.Container{c("4", false), c("1", true)}, []corev1.Container{c("2", false)}, "4"},
		{[]corev1.Container{c("1", true)}, []corev1.Container{c("2", false)}, "3"},
	} {
		requests, _ := Sum(&corev1.PodSpec{InitContainers: w.init, Containers: w.run})
		if got := requests[corev1.ResourceCPU]; got.String() != w.cpu {
			t.Errorf("%v: %s, want %s", w, got.String(), w.cpu)
		}
	}
}

func TestCounted(t *testing.T) {
	got := Counted(amounts("pods", "1", "count/things.example.com", "1", "services.nodeports", "1", "secrets", "1", "limits.cpu", "1"))
	want := []events.Resource{"pods", "secrets", "services", "things.example.com"}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// A sum reads the same whatever it was made of, so that a count from scratch is it.
func TestAdd(t *testing.T) {
	a := Add(Add(nil, amounts("memory", "1Gi"), +1), amounts("memory", "1G"), +1)
	b := Add(Add(nil, amounts("memory", "1G"), +1), amounts("memory", "1Gi"), +1)
	x, y := a["memory"], b["memory"]
	if x.String() != y.String() {
		t.Errorf("%s and %s", x.String(), y.String())
	}
	if out := Add(a, b, -1); len(out) != 0 {
		t.Errorf("%v is left", out)
	}
}
