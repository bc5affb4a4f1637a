package schedule

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// The codes of refusals. A verdict's first reason has CodeUnschedulable and
// Kubernetes' sentence in Said; the others are one for each code and thing in
// question, about the node that came nearest.
const (
	CodeUnschedulable events.Code = "Unschedulable"        // the verdict as a whole
	CodeNoNodes       events.Code = "NoNodes"              // there is none
	CodeCordoned      events.Code = "NodeUnschedulable"    // somebody cordoned it
	CodeNotReady      events.Code = "NodeNotReady"         // it is silent, or has not said what it has
	CodeNodeName      events.Code = "NodeName"             // the pod names another one
	CodeTaint         events.Code = "UntoleratedTaint"     // What is the taint
	CodeSelector      events.Code = "NodeSelectorMismatch" // What is the label
	CodeAffinity      events.Code = "NodeAffinityMismatch" // What is the label or field of the requirement that comes nearest
	CodePorts         events.Code = "NodePortsTaken"       // What is the port, Have the pod that holds it
	CodeInsufficient  events.Code = "Insufficient"         // What is cpu, memory or pods
	CodeSkew          events.Code = "TopologySkew"         // What is the label, Have the node's domain
	CodeNoDomain      events.Code = "TopologyLabelMissing" // What is the label
	CodePodAffinity   events.Code = "PodAffinityMismatch"  // What is the label, Need the pods that have to be there
	CodeAntiAffinity  events.Code = "PodAntiAffinity"      // What is the label, Have the node's domain; Said who is there
	CodeKeptOut       events.Code = "ExistingAntiAffinity" // the same, of a pod that keeps this one out
	CodeClaim         events.Code = "ClaimNotReady"        // What is the claim, Said what it lacks, wherever the pod would be
	CodeVolumeNode    events.Code = "VolumeNodeAffinity"   // What is the claim, Have its volume
	CodeVolumeNone    events.Code = "NoVolumeToBind"       // What is the claim
	CodeVolumeHeld    events.Code = "VolumeInUse"          // What is the claim, Have the pod that has it for itself
)

// wants is what a pod asks of a node.
type wants struct {
	usage       projections.Usage
	node        string
	pinned      string // the one node whose name the affinity wants; empty for any
	selector    map[string]string
	labels      []string // the selector's, sorted
	tolerations []corev1.Toleration
	affinity    affinity
	ports       []port // of the node
	disks       *disks // nil when it uses no claims
	looks       bool   // it has its turn to look for others that make room
}

func wantsOf(v reconcilers.View, o *projections.Object) *wants {
	spec := o.PodSpec()
	pinned, _ := projections.PinnedTo(spec)
	return &wants{disks: disksOf(v, o), usage: projections.Asks(spec), node: spec.NodeName, pinned: pinned, selector: spec.NodeSelector,
		labels: slices.Sorted(maps.Keys(spec.NodeSelector)), tolerations: spec.Tolerations,
		affinity: affinityOf(spec), ports: portsOf(spec, "")}
}

// refusal is a filter's no, cheap to make: most are never told to anybody. The
// zero refusal is a yes.
type refusal struct {
	code       events.Code
	what       string // label or resource
	taint      corev1.Taint
	need, have int64
	held       port

	skew  *skew // of CodeSkew
	near  *near // of CodePodAffinity, its term too
	term  int
	disk  *events.Reason // of the codes of volumes: what is told
	apart *apart         // of CodeAntiAffinity and CodeKeptOut
}

// refuses is the first filter that says no to a node, in Kubernetes' order. A
// pod that names its node passes by taints and cordons, as with Kubernetes.
func (w *wants) refuses(n *node) refusal {
	if w.node != "" {
		if w.node != n.name {
			return refusal{code: CodeNodeName}
		}
		if r := w.disks.refuses(n); r.code != "" {
			return r
		}
		return w.lacks(n)
	}
	if r := w.repelled(n); r.code != "" {
		return r
	}
	if r := w.unsuited(n); r.code != "" {
		return r
	}
	return w.lacks(n)
}

// repelled is why a node wants none but those that put up with it.
func (w *wants) repelled(n *node) refusal {
	if n.unschedulable && !w.tolerates(corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}) {
		return refusal{code: CodeCordoned}
	}
	if !n.ready {
		return refusal{code: CodeNotReady}
	}
	for _, t := range n.taints {
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !w.tolerates(t) {
			return refusal{code: CodeTaint, taint: t}
		}
	}
	return refusal{}
}

// unsuited is why a node is not one that the pod's selector and affinity want, or not where its volumes are.
func (w *wants) unsuited(n *node) refusal {
	if r := w.unmeant(n); r.code != "" {
		return r
	}
	return w.disks.refuses(n)
}

// unmeant is why a node is not one that the pod's selector and affinity want.
func (w *wants) unmeant(n *node) refusal {
	for _, k := range w.labels {
		if have, ok := n.labels[k]; !ok || have != w.selector[k] {
			return refusal{code: CodeSelector, what: k}
		}
	}
	if !w.affinity.allows(n) {
		return refusal{code: CodeAffinity}
	}
	return refusal{}
}

func (w *wants) suits(n *node) bool { return w.unsuited(n).code == "" }

// lacks is what a node has not left for the pod.
func (w *wants) lacks(n *node) refusal {
	if want, held, clash := n.taken(w.ports); clash {
		return refusal{code: CodePorts, what: want.String(), held: held}
	}
	what, need, have := n.lacks(w.usage)
	if what == "" {
		return refusal{}
	}
	return refusal{code: CodeInsufficient, what: what, need: need, have: have}
}

func (w *wants) tolerates(t corev1.Taint) bool {
	for i := range w.tolerations {
		if projections.Tolerates(&w.tolerations[i], &t) {
			return true
		}
	}
	return false
}
