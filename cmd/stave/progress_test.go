package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

func podAt(name, node string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "nginx:1"}}
	p.Status.Phase = corev1.PodPending
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c"}}
	change(p)
	return p
}

func waits(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
	}
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses[0].State.Running = &corev1.ContainerStateRunning{}
		p.Status.Conditions = []corev1.PodCondition{{Type: kind, Status: status, Message: message}}
	}
}

func TestLeafOf(t *testing.T) {
	const gone = `pull image "docker.io/library/nginx:1": not found: failed to resolve`
	for name, c := range map[string]struct {
		change      func(*corev1.Pod)
		state       string
		ready, ends bool
		image       string
	}{
		"pulling":      {change: waits("ContainerCreating", ""), state: "ContainerCreating", image: "nginx:1"},
		"no such tag":  {change: waits("ErrImagePull", gone), state: "ErrImagePull: " + gone, ends: true},
		"no such name": {change: waits("InvalidImageName", "x"), state: "InvalidImageName: x", ends: true},
		"no registry":  {change: waits("ErrImagePull", `pull image "x": unreachable: dial`), state: `ErrImagePull: pull image "x": unreachable: dial`},
		"crashes":      {change: waits("CrashLoopBackOff", "back-off 10s"), state: "CrashLoopBackOff: back-off 10s"},
		"ready":        {change: condition(corev1.PodReady, corev1.ConditionTrue, ""), state: "ready", ready: true},
		"not ready":    {change: condition(corev1.PodReady, corev1.ConditionFalse, ""), state: "runs, not ready yet"},
		"no node":      {change: condition(corev1.PodScheduled, corev1.ConditionFalse, "0/1 nodes are available"), state: "waits for a node: 0/1 nodes are available"},
		"ready and going": {change: func(p *corev1.Pod) {
			condition(corev1.PodReady, corev1.ConditionTrue, "")(p)
			p.DeletionTimestamp = &metav1.Time{}
		}, state: "Terminating"},
		"an init container waits": {change: func(p *corev1.Pod) {
			waits("PodInitializing", "")(p)
			p.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "init:1"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "i", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}}
		}, state: "ContainerCreating", image: "init:1"},
	} {
		l := leafOf(podAt("p", "n1", c.change))
		if l.state != c.state || l.ready != c.ready || (l.broken != "") != c.ends || l.image != c.image {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

// A pod of an older template that waits for ever is not held against the new one.
func TestLeavesOfTheNewTemplateCount(t *testing.T) {
	raw := json.RawMessage(events.MustBody(podAt("old", "n1", waits("ErrImagePull", "pull: not found: x"))))
	now := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx:2"}}}}
	if l := (&leaves{template: now}).of([]json.RawMessage{raw})[0]; l.broken != "" {
		t.Errorf("%+v", l)
	}
	now.Spec.Containers[0].Image = "nginx:1"
	if l := (&leaves{template: now}).of([]json.RawMessage{raw})[0]; l.broken == "" {
		t.Errorf("%+v", l)
	}
}

// TestWhatHasNotChangedIsNotReadAgain: of many pods that are waited for only those are decoded that came anew.
func TestWhatHasNotChangedIsNotReadAgain(t *testing.T) {
	raw := func(name string, change func(*corev1.Pod)) json.RawMessage {
		return json.RawMessage(events.MustBody(podAt(name, "n1", change)))
	}
	one, two := raw("one", waits("ContainerCreating", "")), raw("two", waits("ErrImagePull", "x"))
	var all leaves
	before := all.of([]json.RawMessage{one, nil, two})
	copy(two, "no JSON any more: whoever reads it again finds no pod")
	after := all.of([]json.RawMessage{raw("one", waits("ErrImagePull", "y")), two})
	if len(before) != 2 || len(after) != 2 || before[0].state != "ContainerCreating" || after[0].state != "ErrImagePull: y" || after[1] != before[1] {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if gone := all.of([]json.RawMessage{two}); len(gone) != 1 || len(all.known) != 1 {
		t.Errorf("of one that is gone something is kept: %+v", all.known)
	}
}

func TestProgressIsATree(t *testing.T) {
	now := time.Unix(100, 0)
	var errs bytes.Buffer
	p := &progress{s: &session{terminal: &terminal{err: &errs}}, now: func() time.Time { return now }, pulls: map[pull]wire.Pulling{},
		board: &board{size: func() (int, int) { return 60, 20 }}}
	web, box := p.branch("deployment.apps/web"), p.branch("pod/box")
	p.state(web, "0 of 3 updated replicas are available")
	p.state(box, "ContainerCreating")
	p.image(box, leaf{node: "n2", image: "busybox"})
	p.leaves(web, []leaf{{name: "pod/web-a", state: "ready", ready: true}, {name: "pod/web-b", state: "ContainerCreating", node: "n1", image: "nginx:1"},
		{name: "pod/web-c", state: "ErrImagePull: no", broken: "it is"}})
	now = now.Add(4 * time.Second)
	p.leaves(web, []leaf{{name: "pod/web-a", state: "ready", ready: true}, {name: "pod/web-b", state: "ContainerCreating", node: "n1", image: "nginx:1"},
		{name: "pod/web-c", state: "ImagePullBackOff: no", broken: "it is"}})
	p.pulling(message(wire.Pulling{Node: "n1", Image: "nginx:1", Done: 3_100_000, Total: 18_900_000}))
	p.pulling(message(wire.Pulling{Node: "n2", Image: "busybox", Done: 7, Total: 7}))
	p.pulling(message(wire.Pulling{Node: "n2", Image: "nginx:1", Done: 7, Total: 7})) // another node's
	want := []string{
		"deployment.apps/web  0 of 3 updated replicas are availa… 4s",
		"  pod/web-c  ImagePullBackOff: no 0s",
		"  pod/web-b  pulling nginx:1 3.1/18.9 MB 4s",
		"  pod/web-a  ready 4s",
		"pod/box  unpacking busybox, 0.0 MB 4s",
	}
	if have := p.lines(); strings.Join(have, "\n") != strings.Join(want, "\n") {
		t.Errorf("have\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	p.ended(web)
	if have := strings.Join(p.lines(), "\n"); have != "pod/box  unpacking busybox, 0.0 MB 4s\n1 of 2 done" {
		t.Errorf("a finished branch does not collapse:\n%s", have)
	}
	if errs.Len() > 0 {
		t.Errorf("lines beside the board: %s", &errs)
	}
}

func message(at wire.Pulling) bus.Message { return bus.Message{Body: events.MustBody(at)} }

// Without a terminal each step is a line, once, and bytes are none.
func TestProgressIsLines(t *testing.T) {
	var errs bytes.Buffer
	p := &progress{s: &session{terminal: &terminal{err: &errs}}, now: time.Now, pulls: map[pull]wire.Pulling{}, plain: true}
	b := p.branch("pod/box")
	p.state(b, "ContainerCreating")
	p.state(b, "ContainerCreating")
	p.pulling(message(wire.Pulling{Node: "n1", Image: "busybox", Done: 3, Total: 7}))
	p.leaves(b, []leaf{{name: "pod/x", state: "ready"}})
	p.leaves(b, []leaf{{name: "pod/x", state: "ready"}})
	if have := errs.String(); have != "pod/box: ContainerCreating\npod/box: pod/x: ready\n" {
		t.Errorf("have\n%s", have)
	}
}

// A workload with more pods than a window has rows shows those that matter.
func TestProgressIsBounded(t *testing.T) {
	p := &progress{s: &session{terminal: &terminal{}}, now: time.Now, pulls: map[pull]wire.Pulling{}, board: &board{size: func() (int, int) { return 60, 20 }}}
	b := p.branch("deployment.apps/web")
	var many []leaf
	for range 5000 {
		many = append(many, leaf{name: "pod/x", state: "ready", ready: true})
	}
	many[4999] = leaf{name: "pod/last", state: "CrashLoopBackOff"}
	p.leaves(b, many)
	have := p.lines()
	if len(have) != maxLeaves+2 || !strings.Contains(have[1], "pod/last") || have[maxLeaves+1] != "  … and 4990 more" {
		t.Errorf("have\n%s", strings.Join(have, "\n"))
	}
}
