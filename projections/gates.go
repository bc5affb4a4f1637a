package projections

import (
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Gated is what a pod with readiness gates needs beyond ReadySince, which then says when its gates stood open too.
type Gated struct {
	Since  Mark `cbor:",omitzero"` // all containers ready since; zero while not
	Turned Mark `cbor:",omitzero"` // when that last changed
}

// Shut are the readiness gates of a pod that keep it from being ready, in Kubernetes' words; none when all stand open.
// What opens them are conditions that somebody outside wrote.
func (o *Object) Shut() []string {
	var shut []string
	for _, g := range o.PodSpec().ReadinessGates {
		switch status, there := o.writtenCondition(g.ConditionType); {
		case there && status == string(corev1.ConditionTrue), !there && settledConditions[g.ConditionType]:
		case there:
			shut = append(shut, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %s", g.ConditionType, status))
		default:
			shut = append(shut, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", g.ConditionType))
		}
	}
	return shut
}

// settledConditions are those of our own that are true of every pod whose containers are ready.
var settledConditions = map[corev1.PodConditionType]bool{corev1.PodReadyToStartContainers: true, corev1.PodInitialized: true,
	corev1.ContainersReady: true, corev1.PodScheduled: true}

func (o *Object) writtenCondition(of corev1.PodConditionType) (status string, there bool) {
	over, _ := parse(o.Status)
	list, _ := over[conditions].([]any)
	if i := conditionIndex(list, document{"type": string(of)}); i >= 0 {
		c, _ := list[i].(document)
		status, _ = c["status"].(string)
		return status, true
	}
	return "", false
}

// gates settles a pod whose status somebody wrote: a gate of it may have opened or shut.
func (f *folding) gates(k events.Key) {
	o, there := f.s.Get(k)
	p, ok := f.s.PodOf(k)
	if k.Resource != events.Pods || !there || !ok || p.UID != o.UID || len(o.PodSpec().ReadinessGates) == 0 {
		return
	}
	n := *p
	f.settle(p, &n)
	if reflect.DeepEqual(*p, n) {
		return
	}
	row := o.clone()
	row.pod = &n
	f.s.objects = f.s.objects.with(rowKey(k), row)
	i, _ := f.changeOf(k)
	f.changes[i].After, f.changes[i].PodBefore, f.changes[i].PodAfter = row, p, &n
	f.follow(f.changes[i])
}

// gated says whether a pod is ready whose containers are, and keeps apart since when these are.
func (f *folding) gated(o *Object, p *Pod, containers bool) bool {
	g := Gated{}
	if p.Gated != nil {
		g = *p.Gated
	}
	if containers == g.Since.IsZero() {
		g.Since, g.Turned = Mark{}, f.mark()
		if containers {
			g.Since = f.mark()
		}
		p.own().Gated = &g
	}
	return containers && len(o.Shut()) == 0
}

// shutReason is why a pod is not ready whose containers are.
func shutReason(shut []string) (reason, message string) {
	return "ReadinessGatesNotReady", strings.Join(shut, ", ")
}
