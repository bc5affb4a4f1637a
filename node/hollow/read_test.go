package hollow

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

func TestWhatCanBeRead(t *testing.T) {
	for _, c := range []struct {
		command []string
		after   time.Duration
		code    int
		ok      bool
	}{
		{[]string{"/bin/true"}, 0, 0, true},
		{[]string{"/bin/false"}, 0, 1, true},
		{[]string{"sleep", "5"}, 5 * time.Second, 0, true},
		{[]string{"sleep", "1m", "2"}, 62 * time.Second, 0, true},
		{[]string{"sleep", "inf"}, 0, 0, false},
		{[]string{"sleep"}, 0, 0, false},
		{[]string{"sh", "-c", "exit 7"}, 0, 7, true},
		{[]string{"/bin/sh", "-c", "echo 'so it goes'; sleep 2 && exit 3; sleep 9"}, 2 * time.Second, 3, true},
		{[]string{"sh", "-c", "false && exit 3\nsleep 1"}, time.Second, 0, true},
		{[]string{"sh", "-c", "exec sleep 4"}, 4 * time.Second, 0, true},
		{[]string{"sh", "-c", "sleep 1; exit $CODE"}, 0, 0, false},
		{[]string{"sh", "-c", "exit"}, 0, 0, false},
		{[]string{"sh", "-c", "while true; do sleep 1; done"}, 0, 0, false},
		{[]string{"sh", "-c", "sleep 1000 & wait"}, 0, 0, false},
		{[]string{"sh", "-c", "echo a | grep b"}, 0, 0, false},
		{[]string{"nginx"}, 0, 0, false},
		{nil, 0, 0, false},
	} {
		after, code, ok := readable(&corev1.Container{Command: c.command})
		if ok != c.ok || ok && (after != c.after || code != c.code) {
			t.Errorf("%q: after %s with %d, %v", c.command, after, code, ok)
		}
	}
	if _, code, ok := readable(&corev1.Container{Command: []string{"sh"}, Args: []string{"-c", "exit 2"}}); !ok || code != 2 {
		t.Errorf("of command and arguments: %d, %v", code, ok)
	}
}

// Init containers end, one after the other, and what their spec says of it holds; the model's own words go before it.
func TestPretendedPodsInitialize(t *testing.T) {
	pod := func(uid events.UID, init ...string) (r []string) {
		b := newBench(t, Model{})
		d := row(uid, "nginx:1")
		d.Pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		d.Pod.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "busybox:1"}, {Name: "second", Image: "busybox:1", Command: init}}
		b.feed(d)
		b.pass(10 * time.Second)
		for _, p := range b.kept {
			for _, f := range p.Pod.Facts {
				if f.Kind == events.FactStarted || f.Kind == events.FactExited {
					r = append(r, f.Container+" "+string(f.Kind))
				}
			}
		}
		return r
	}
	for _, c := range []struct {
		init []string
		last string
		n    int
	}{{[]string{"sleep", "5"}, "c started", 5}, {[]string{"/bin/copyutil", "/shared"}, "c started", 5}, {[]string{"false"}, "second exited", 4}, {[]string{"sleep", "60"}, "second started", 3}} {
		if told := pod("a", c.init...); len(told) != c.n || told[len(told)-1] != c.last {
			t.Errorf("%q: told %v, want %d of them and %q in the end", c.init, told, c.n, c.last)
		}
	}
	b := newBench(t, Model{Run: Span{time.Hour, time.Hour}})
	d := row("b", "nginx:1")
	d.Pod.Spec.Containers[0].Command = []string{"false"}
	b.feed(d)
	if b.count("b", events.FactExited) != 0 {
		t.Errorf("the model says how long runs last: told %v", b.told("b"))
	}
}
