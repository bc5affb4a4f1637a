package projections

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// The states of a node that pods of DaemonSets bear, as in Kubernetes: for the last
// one they have to be on the node's own network.
var (
	borne = []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	}
	borneOnHost = append(slices.Clone(borne), corev1.Toleration{Key: corev1.TaintNodeNetworkUnavailable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
)

// DaemonTolerations are those that pods of a DaemonSet have beside their own. They are shared: never change them.
func DaemonTolerations(spec *corev1.PodSpec) []corev1.Toleration {
	if spec.HostNetwork {
		return borneOnHost
	}
	return borne
}

// DaemonOn tells whether a node shall get a pod of a DaemonSet, and whether one that it has may stay.
func DaemonOn(ds *appsv1.DaemonSet, node *Object) (run, stay bool) {
	if !daemonMeant(ds, node) {
		return false, false
	}
	run, stay = node.Deletion == nil, true
	for t := range daemonRepelled(ds, node) {
		switch t.Effect {
		case corev1.TaintEffectNoExecute:
			return false, false
		case corev1.TaintEffectNoSchedule:
			run = false
		}
	}
	return run, stay
}

// DaemonOff says why a node gets no pod of a DaemonSet, empty when it does.
func DaemonOff(ds *appsv1.DaemonSet, node *Object) string {
	if !daemonMeant(ds, node) {
		return "it is not one that the node selector and affinity of the template mean"
	}
	for t := range daemonRepelled(ds, node) {
		if t.Effect != corev1.TaintEffectPreferNoSchedule {
			return "the template does not tolerate its taint " + t.ToString()
		}
	}
	if node.Deletion != nil {
		return "it is being removed"
	}
	return ""
}

// daemonMeant tells whether a node is one that the template means.
func daemonMeant(ds *appsv1.DaemonSet, node *Object) bool {
	spec := &ds.Spec.Template.Spec
	n, ok := node.decoded().(*corev1.Node)
	return ok && (spec.NodeName == "" || spec.NodeName == node.Key.Name) && Suits(spec, node.Key.Name, n.Labels)
}

// daemonRepelled walks the taints of a node that the pods of a DaemonSet do not bear.
func daemonRepelled(ds *appsv1.DaemonSet, node *Object) iter.Seq[*corev1.Taint] {
	return func(yield func(*corev1.Taint) bool) {
		spec, n := &ds.Spec.Template.Spec, node.decoded().(*corev1.Node)
		for i := range n.Spec.Taints {
			t := &n.Spec.Taints[i]
			bears := func(x corev1.Toleration) bool { return Tolerates(&x, t) }
			if !slices.ContainsFunc(spec.Tolerations, bears) && !slices.ContainsFunc(DaemonTolerations(spec), bears) && !yield(t) {
				return
			}
		}
	}
}

// Daemon is a pod of a DaemonSet.
type Daemon struct {
	Object *Object
	Pod    *Pod
}

// Over tells whether nothing of the pod will run again.
func (d Daemon) Over() bool { return ended(d.Object, d.Pod) }

// SaidFailed tells whether a client wrote of the pod that it has failed.
func (d Daemon) SaidFailed() bool {
	var said struct {
		Phase corev1.PodPhase `json:"phase"`
	}
	return len(d.Object.Status) > 0 && json.Unmarshal(d.Object.Status, &said) == nil && said.Phase == corev1.PodFailed
}

// Leaving tells whether somebody wants the pod gone.
func (d Daemon) Leaving() bool { return d.Object.Deletion != nil }

// Daemons are the pods of a DaemonSet by the nodes that they are on or meant for,
// the oldest of each first, those with a node before those that wait for it. Pods at
// their end that are about to be removed are none any more.
func (s State) Daemons(o *Object) map[string][]Daemon {
	out := map[string][]Daemon{}
	for child := range s.Children(o.UID) {
		row, ok := s.PodOf(child.Key)
		if !ok || child.Key.Resource != events.Pods {
			continue
		}
		if d := (Daemon{child, row}); !d.Over() || !d.Leaving() {
			node := MeantFor(child, row)
			out[node] = append(out[node], d)
		}
	}
	for _, list := range out { //stave:sorted each list by itself
		slices.SortFunc(list, func(a, b Daemon) int {
			if placed := a.Pod.Node != ""; placed != (b.Pod.Node != "") {
				return map[bool]int{true: -1, false: 1}[placed]
			}
			return cmp.Or(cmp.Compare(a.Object.Created.Seq, b.Object.Created.Seq), cmp.Compare(a.Object.Key.Name, b.Object.Key.Name))
		})
	}
	return out
}

// MeantFor is the node that a pod is on, or the one that its affinity names; empty
// when it says none.
func MeantFor(o *Object, row *Pod) string {
	if row.Node != "" {
		return row.Node
	}
	node, _ := PinnedTo(o.PodSpec())
	return node
}

// PinnedTo is the one node whose name a pod's affinity wants, if it wants one: all
// others are out of the question.
func PinnedTo(spec *corev1.PodSpec) (string, bool) {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return "", false
	}
	node := ""
	for _, t := range spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		i := slices.IndexFunc(t.MatchFields, func(r corev1.NodeSelectorRequirement) bool {
			return r.Key == NameField && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1
		})
		if i < 0 || node != "" && node != t.MatchFields[i].Values[0] {
			return "", false
		}
		node = t.MatchFields[i].Values[0]
	}
	return node, node != ""
}

// AvailableAt tells whether a pod has been ready for so long at now; when not, next is when it will have been, zero for never
// by time alone.
func (s State) AvailableAt(o *Object, p *Pod, wait time.Duration, now time.Time) (yes bool, next time.Time) {
	if countPod(o, p).Ready == 0 {
		return false, time.Time{}
	}
	if at := s.ReadyAt(p).Time.Add(wait); wait > 0 && at.After(now) {
		return false, at
	}
	return true, time.Time{}
}

// TemplateGeneration is the annotation that counts the templates of a DaemonSet, and
// GenerationLabel the label of pods that says by which of them they were made.
const (
	TemplateGeneration = appsv1.DeprecatedTemplateGeneration
	GenerationLabel    = "pod-template-generation"
)

// UpToDate tells of pods of a DaemonSet whether they are of its present template: made
// by it, or by an earlier one that was the same.
func (s State) UpToDate(o *Object) func(Daemon) bool {
	generation := o.decoded().GetAnnotations()[TemplateGeneration]
	hash := sync.OnceValue(func() string { return s.presentHash(o) }) // most pods need none
	return func(d Daemon) bool {
		has := d.Object.PodLabels()
		// Who is older than the set was made by another one, whose templates were counted from 1 too.
		if generation != "" && has[GenerationLabel] == generation && d.Object.Created.Seq > o.Created.Seq {
			return true
		}
		h := has[appsv1.DefaultDaemonSetUniqueLabelKey]
		return h != "" && h == hash()
	}
}

// presentHash is the hash of a DaemonSet's newest revision, if that holds its present
// template; before it was made there is none.
func (s State) presentHash(o *Object) string {
	var newest *appsv1.ControllerRevision
	for child := range s.Children(o.UID) {
		if r, ok := child.decoded().(*appsv1.ControllerRevision); ok && child.Deletion == nil && (newest == nil || r.Revision > newest.Revision) {
			newest = r
		}
	}
	ds, ok := o.decoded().(*appsv1.DaemonSet)
	if newest == nil || !ok {
		return ""
	}
	if held, err := HeldTemplate(newest); err != nil || held == nil || !equalTemplate(&ds.Spec.Template, held) {
		return ""
	}
	return newest.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
}

// HeldTemplate is the template that a revision holds, nil when it holds none; the error
// is of data that is no JSON object.
func HeldTemplate(r *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var held struct {
		Spec struct {
			Template *corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &held); err != nil {
		return nil, fmt.Errorf("read revision %s: %w", r.Name, err)
	}
	return held.Spec.Template, nil
}

func (s State) daemonStatus(o *Object, v *appsv1.DaemonSet, now time.Time) appsv1.DaemonSetStatus {
	st := appsv1.DaemonSetStatus{ObservedGeneration: o.generation()}
	on, present := s.Daemons(o), s.UpToDate(o)
	for node := range s.List(events.Nodes, "") {
		run, _ := DaemonOn(v, node)
		pods := on[node.Key.Name]
		switch {
		case run:
			st.DesiredNumberScheduled++
		case len(pods) > 0:
			st.NumberMisscheduled++
		}
		if !run || len(pods) == 0 {
			continue
		}
		st.CurrentNumberScheduled++
		d := pods[0]
		if countPod(d.Object, d.Pod).Ready > 0 {
			st.NumberReady++
		}
		if yes, _ := s.AvailableAt(d.Object, d.Pod, minReady(o), now); yes {
			st.NumberAvailable++
		}
		if present(d) {
			st.UpdatedNumberScheduled++
		}
	}
	st.NumberUnavailable = st.DesiredNumberScheduled - st.NumberAvailable
	return st
}

// daemons touches the DaemonSets for which a node came, went, or suits otherwise than
// before: what they want of it is another thing.
func (f *folding) daemons(c Change) {
	if c.Key.Resource != events.Nodes || c.Before != nil && c.After != nil && c.Before.Changed == c.After.Changed && (c.Before.Deletion == nil) == (c.After.Deletion == nil) {
		return
	}
	var touched []events.Key
	for ds := range f.s.List(events.DaemonSets, "") {
		if v, ok := ds.decoded().(*appsv1.DaemonSet); ok && grade(v, c.Before) != grade(v, c.After) {
			touched = append(touched, ds.Key)
		}
	}
	for _, k := range touched {
		f.touchOnce(k, nil)
	}
}

// grade is how much a node may have of a DaemonSet: nothing, what is there, or a new pod.
func grade(ds *appsv1.DaemonSet, node *Object) int {
	if node == nil {
		return 0
	}
	switch run, stay := DaemonOn(ds, node); {
	case run:
		return 2
	case stay:
		return 1
	}
	return 0
}
