package projections

import (
	"bytes"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

// Usage is what the pods of a node ask for: those that still run or will.
type Usage struct {
	Pods   int
	CPU    int64 // millicores
	Memory int64 // bytes
	// ScoreCPU and ScoreMemory are the same with Kubernetes' guess for containers
	// that ask for nothing, so that they spread too.
	ScoreCPU    int64
	ScoreMemory int64
	Wishes      int      // pods whose wish for other resources is not granted yet
	Extended    Extended `cbor:",omitzero"`
}

// Kubernetes' guesses for a container that asks for nothing.
const (
	guessCPU    = 100       // millicores
	guessMemory = 200 << 20 // bytes
)

// defaultPods is how many pods a node takes that does not say.
const defaultPods = 110

// has is what a node says that it can give; what it said wrongly counts as nothing.
func has(f events.NodeFacts) Usage {
	u := Usage{Pods: defaultPods}
	if said, ok := f.Allocatable["pods"]; ok {
		n := quantity(said)
		u.Pods = int(n.Value())
	}
	cpu, memory := quantity(f.Allocatable["cpu"]), quantity(f.Allocatable["memory"])
	u.CPU, u.Memory = thousandths(cpu), whole(memory)
	u.Extended = extendedIn(quantities(f.Allocatable))
	return u
}

// Used is what the pods of a node ask for, kept by the fold.
func (s State) Used(node string) Usage { u, _ := s.used.get(node); return u }

// PodSpec is the spec of a pod's row. It is shared: never change it. It avoids
// decoding the row when the spec is its template's.
func (o *Object) PodSpec() *corev1.PodSpec {
	if o.sharesSpec() {
		return &o.Template.Pod().Spec
	}
	return &o.decoded().(*corev1.Pod).Spec
}

// Bare tells whether a pod's spec and labels are its template's.
func (o *Object) Bare() bool { return o.sharesSpec() && o.sharesLabels() }

// sharesSpec tells whether a pod's spec is its template's.
func (o *Object) sharesSpec() bool {
	return o.Template != nil && !bytes.Contains(o.Raw, []byte(`"spec"`))
}

// PodLabels is Typed().GetLabels() of a pod's row, without decoding it when the
// labels are its template's. It is shared: never change it.
func (o *Object) PodLabels() map[string]string {
	if o.sharesLabels() {
		return o.Template.Pod().Labels
	}
	return o.decoded().GetLabels()
}

// PodAnnotations is PodLabels for annotations.
func (o *Object) PodAnnotations() map[string]string {
	if o.sharesAnnotations() {
		return o.Template.Pod().Annotations
	}
	return o.decoded().GetAnnotations()
}

// sharesAnnotations tells whether a pod's annotations are its template's.
func (o *Object) sharesAnnotations() bool {
	return o.Template != nil && !bytes.Contains(o.Raw, []byte(`"annotations"`))
}

// sharesLabels tells whether a pod's labels are its template's.
func (o *Object) sharesLabels() bool {
	return o.Template != nil && !bytes.Contains(o.Raw, []byte(`"labels"`))
}

// Asks is what one pod of this spec asks for, as Kubernetes counts: the sum of its containers and sidecars, or what an
// init container asks for together with the sidecars before it, whichever is more; and what its runtime takes beside it.
func Asks(spec *corev1.PodSpec) Usage {
	var sum, beside, most Usage
	for i := range spec.Containers {
		sum = sum.Add(asksOf(&spec.Containers[i]), +1)
	}
	for i := range spec.InitContainers {
		c := asksOf(&spec.InitContainers[i])
		if Sidecar(&spec.InitContainers[i]) {
			sum, beside = sum.Add(c, +1), beside.Add(c, +1)
			most = most.max(beside)
			continue
		}
		most = most.max(beside.Add(c, +1))
	}
	u := sum.max(most)
	u.Pods = 1
	cpu, memory := spec.Overhead[corev1.ResourceCPU], spec.Overhead[corev1.ResourceMemory]
	return u.Add(Usage{CPU: thousandths(cpu), Memory: whole(memory), ScoreCPU: thousandths(cpu), ScoreMemory: whole(memory),
		Extended: extendedIn(spec.Overhead)}, +1)
}

// max is the larger one of each resource.
func (u Usage) max(v Usage) Usage {
	return Usage{CPU: max(u.CPU, v.CPU), Memory: max(u.Memory, v.Memory), ScoreCPU: max(u.ScoreCPU, v.ScoreCPU), ScoreMemory: max(u.ScoreMemory, v.ScoreMemory),
		Extended: u.Extended.with(v.Extended, func(a, b int64) int64 { return max(a, b) })}
}

func asksOf(c *corev1.Container) Usage {
	u := Usage{ScoreCPU: guessCPU, ScoreMemory: guessMemory, Extended: extendedIn(c.Resources.Requests)}
	if q, ok := c.Resources.Requests[corev1.ResourceCPU]; ok {
		u.CPU, u.ScoreCPU = thousandths(q), thousandths(q)
	}
	if q, ok := c.Resources.Requests[corev1.ResourceMemory]; ok {
		u.Memory, u.ScoreMemory = whole(q), whole(q)
	}
	return u
}

// maxAmount is the most of a resource that is counted of one container: more than any node has, and so little that the sums
// of a node's pods stay numbers.
const maxAmount = 1 << 50

// whole is how much that is, and thousandths of it, at most maxAmount.
func whole(q resource.Quantity) int64 { return min(q.Value(), maxAmount) }

func thousandths(q resource.Quantity) int64 {
	if q.Value() > maxAmount/1000 {
		return maxAmount
	}
	return q.MilliValue()
}

// Add is the sum of two usages; sign −1 takes the second away.
func (u Usage) Add(v Usage, sign int) Usage {
	n := int64(sign)
	return Usage{Pods: u.Pods + sign*v.Pods, Wishes: u.Wishes + sign*v.Wishes, CPU: u.CPU + n*v.CPU, Memory: u.Memory + n*v.Memory,
		ScoreCPU: u.ScoreCPU + n*v.ScoreCPU, ScoreMemory: u.ScoreMemory + n*v.ScoreMemory,
		Extended: u.Extended.with(v.Extended, func(a, b int64) int64 { return a + n*b })}
}

// Holds tells whether a pod still takes room on its node: until all of it has ended.
func (p *Pod) Holds(o *Object) bool {
	return p.Node != "" && p.Stopped.IsZero() && p.Failed == nil && !p.Finished(o)
}

// use adds a pod to its node's usage and to its crowd, or takes it away.
func (f *folding) use(p *Pod, sign int) {
	o, ok := f.s.Get(p.Key)
	if !ok || !p.Holds(o) {
		return
	}
	f.join(o, p.Node, sign)
	u := f.s.Used(p.Node).Add(p.Claims(o.PodSpec()), sign)
	if u == (Usage{}) {
		f.s.used = f.s.used.without(p.Node)
		return
	}
	f.s.used = f.s.used.with(p.Node, u)
}
