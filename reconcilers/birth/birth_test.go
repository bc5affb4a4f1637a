package birth

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers/stage"
)

func pod(name string) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	p.Name = name
	return p
}

func TestNobodyStandsThere(t *testing.T) {
	w := stage.New()
	w.Apply(stage.In(events.ConfigMaps, "c"), `{}`)
	d := In(w.State, "default")
	template := &corev1.PodTemplateSpec{}
	if !d.Open() || d.Bars(pod("p")) != "" || d.Template(template) != template {
		t.Error("something stands where nothing is")
	}
}

// Pods of one decision see each other: as many are made as fit.
func TestPodsSeeEachOther(t *testing.T) {
	w := stage.New()
	w.Apply(stage.In(events.Quotas, "a"), `{"metadata":{"name":"a"},"spec":{"hard":{"pods":"5"}}}`)
	w.Apply(stage.In(events.Quotas, "b"), `{"metadata":{"name":"b"},"spec":{"hard":{"pods":"3"}}}`)
	w.Apply(stage.PodKey("there"), `{"spec":{"containers":[{"name":"c"}]}}`)
	d := In(w.State, "default")
	for i, want := range []string{"", "", `pods "x" is forbidden: exceeded quota: b, requested: pods=1, used: pods=3, limited: pods=3`} {
		if said := d.Bars(pod("x")); said != want {
			t.Errorf("pod %d: %q, want %q", i, said, want)
		}
	}
	if said := In(w.State, "default").Bars(pod("x")); said != "" {
		t.Errorf("the next decision begins with what is used: %s", said)
	}
}

func TestTemplates(t *testing.T) {
	w := stage.New()
	w.Apply(stage.In(events.LimitRanges, "l"), `{"spec":{"limits":[{"type":"Container","default":{"cpu":"1"},"max":{"memory":"1Gi"}}]}}`)
	d := In(w.State, "default")
	d.guard.Bars = func(o events.Object) string { return "policy says no to " + o.GetName() }
	own := &corev1.PodTemplateSpec{Spec: pod("p").Spec}
	shaped := d.Template(own)
	if shaped == own || shaped.Spec.Containers[0].Resources.Limits.Cpu().String() != "1" || own.Spec.Containers[0].Resources.Limits != nil ||
		shaped.Annotations["kubernetes.io/limit-ranger"] == "" {
		t.Errorf("%+v of %+v", shaped, own)
	}
	if again := d.Template(shaped); again != shaped {
		t.Errorf("%+v", again)
	}
	p := pod("p")
	if said := d.Bars(p); said != `pods "p" is forbidden: maximum memory usage per Container is 1Gi.  No limit is specified` {
		t.Error(said)
	}
	p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"memory": *shaped.Spec.Containers[0].Resources.Limits.Cpu()}
	if said := d.Bars(p); said != "policy says no to p" {
		t.Error(said)
	}
}

// Pods of a class get its priority with their template; of a class that is not there none is made.
func TestPriorities(t *testing.T) {
	w := stage.New()
	w.Apply(events.Key{Resource: events.PriorityClasses, Name: "high"}, `{"metadata":{"name":"high"},"value":100,"preemptionPolicy":"Never"}`)
	template := func(class string) *corev1.PodTemplateSpec {
		t := &corev1.PodTemplateSpec{Spec: pod("p").Spec}
		t.Spec.PriorityClassName = class
		return t
	}
	shaped := In(w.State, "default").Template(template("high"))
	if shaped.Spec.Priority == nil || *shaped.Spec.Priority != 100 || *shaped.Spec.PreemptionPolicy != corev1.PreemptNever {
		t.Errorf("%+v", shaped.Spec)
	}
	d := In(w.State, "default")
	if d.Template(template("low")); d.Open() || d.Bars(pod("p")) != `pods "p" is forbidden: no PriorityClass with name low was found` {
		t.Error(d.Bars(pod("p")))
	}
	if none := template(""); In(w.State, "default").Template(none) != none {
		t.Error("a pod of no class got one")
	}
	w.Apply(events.Key{Resource: events.PriorityClasses, Name: "usual"}, `{"metadata":{"name":"usual"},"value":7,"globalDefault":true}`)
	if shaped := In(w.State, "default").Template(template("")); shaped.Spec.PriorityClassName != "usual" || *shaped.Spec.Priority != 7 {
		t.Errorf("%+v", shaped.Spec)
	}
}

// A namespace's labels bar what its pods may not get at.
func TestPodSecurity(t *testing.T) {
	w := stage.New()
	is := func(level string) *Desk {
		w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default","labels":{"pod-security.kubernetes.io/enforce":"`+level+`"}}}`)
		return In(w.State, "default")
	}
	if d := is("restricted"); d.Open() || !strings.HasPrefix(d.Bars(pod("p")), `pods "p" is forbidden: violates PodSecurity "restricted:latest": `) {
		t.Error(d.Open(), d.Bars(pod("p")))
	}
	if d := is("baseline"); d.Open() || d.Bars(pod("p")) != "" {
		t.Error(d.Open(), d.Bars(pod("p")))
	}
	if d := is("privileged"); !d.Open() || d.Bars(pod("p")) != "" {
		t.Error(d.Open(), d.Bars(pod("p")))
	}
}

// Pods of a runtime class get what it takes with their template; of one that is not there none is made.
func TestRuntimeClasses(t *testing.T) {
	w := stage.New()
	template := &corev1.PodTemplateSpec{Spec: pod("p").Spec}
	name := "heavy"
	template.Spec.RuntimeClassName = &name
	d := In(w.State, "default")
	if d.Template(template); d.Open() || d.Bars(pod("p")) != `pods "p" is forbidden: pod rejected: RuntimeClass "heavy" not found` {
		t.Error(d.Bars(pod("p")))
	}
	w.Apply(events.Key{Resource: events.RuntimeClasses, Name: "heavy"}, `{"metadata":{"name":"heavy"},"handler":"h","overhead":{"podFixed":{"cpu":"1"}},"scheduling":{"nodeSelector":{"k":"v"}}}`)
	shaped := In(w.State, "default").Template(template)
	if shaped.Spec.Overhead.Cpu().String() != "1" || shaped.Spec.NodeSelector["k"] != "v" || template.Spec.Overhead != nil {
		t.Errorf("%+v", shaped.Spec)
	}
}
