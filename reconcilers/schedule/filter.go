package schedule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

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
)

// wants is what a pod asks of a node.
type wants struct {
	usage       projections.Usage
	node        string
	selector    map[string]string
	labels      []string // the selector's, sorted
	tolerations []corev1.Toleration
	affinity    affinity
	ports       []port // of the node
}

func wantsOf(spec *corev1.PodSpec) wants {
	return wants{usage: projections.Asks(spec), node: spec.NodeName, selector: spec.NodeSelector,
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
}

// refuses is the first filter that says no to a node, in Kubernetes' order. A
// pod that names its node passes by taints and cordons, as with Kubernetes.
func (w wants) refuses(n *node) refusal {
	if w.node != "" {
		if w.node != n.name {
			return refusal{code: CodeNodeName}
		}
		return w.lacks(n)
	}
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
	for _, k := range w.labels {
		if have, ok := n.labels[k]; !ok || have != w.selector[k] {
			return refusal{code: CodeSelector, what: k}
		}
	}
	if !w.affinity.allows(n) {
		return refusal{code: CodeAffinity}
	}
	return w.lacks(n)
}

// lacks is what a node has not left for the pod.
func (w wants) lacks(n *node) refusal {
	if want, held, clash := n.taken(w.ports); clash {
		return refusal{code: CodePorts, what: want.String(), held: held}
	}
	what, need, have := n.lacks(w.usage)
	if what == "" {
		return refusal{}
	}
	return refusal{code: CodeInsufficient, what: what, need: need, have: have}
}

// refused tells people why a node does not take the pod, and what would help.
func (w wants) refused(n *node) (events.Reason, bool) {
	r := w.refuses(n)
	out := events.Reason{Code: r.code, About: n.key, What: r.what}
	switch r.code {
	case "":
		return events.Reason{}, false
	case CodeNodeName:
		out.Need, out.Have = w.node, n.name
	case CodeCordoned:
		out.Fix = "uncordon " + n.name
	case CodeNotReady:
		out.Said, out.Fix = n.said, "start the agent of "+n.name
	case CodeTaint:
		out.What, out.Have, out.Fix = r.taint.Key, r.taint.ToString(), "tolerate "+r.taint.ToString()
		if r.taint.Key == corev1.TaintNodeDiskPressure {
			out.Fix = "free disk space on " + n.name + ", or add a node"
		}
	case CodeSelector:
		out.Need, out.Have = w.selector[r.what], n.labels[r.what]
		out.Fix = "label node " + n.name + " " + r.what + "=" + out.Need
	case CodeAffinity:
		out = w.mismatch(n, out)
	case CodePorts:
		out.Have, out.Fix = r.held.holder, "ask for another host port, or add a node"
	case CodeInsufficient:
		out.Need, out.Have, out.Fix = amount(r.what, r.need), amount(r.what, r.have), fix(r.what, r.need, r.have, n)
	}
	return out, true
}

// mismatch names the requirement that comes nearest to be met.
func (w wants) mismatch(n *node, out events.Reason) events.Reason {
	r, ok := w.affinity.nearest(n)
	if !ok {
		out.Need, out.Fix = "a term that matches", "give the pod's node affinity a term that is not empty"
		return out
	}
	out.What, out.Need, out.Have, out.Fix = r.Key, needs(r), n.labels[r.Key], helps(r, n)
	if r.Key == projections.NameField {
		out.Have = n.name
	}
	return out
}

func (w wants) tolerates(t corev1.Taint) bool {
	for i := range w.tolerations {
		if tolerates(&w.tolerations[i], &t) {
			return true
		}
	}
	return false
}

// tolerates is Kubernetes' rule: an empty key with Exists tolerates all, an
// empty effect every effect.
func tolerates(o *corev1.Toleration, t *corev1.Taint) bool {
	if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
		return false
	}
	if o.Operator == corev1.TolerationOpExists {
		return true
	}
	return o.Key != "" && o.Value == t.Value
}

// fix is the nearest change that would help: to ask for what there is, when
// there is some; else room has to come from elsewhere.
func fix(what string, need, have int64, n *node) string {
	switch {
	case what == "pods":
		return "add a node"
	case have <= 0:
		return fmt.Sprintf("free %s %s on %s, or add a node", amount(what, need-have), what, n.name)
	}
	return fmt.Sprintf("ask for at most %s %s, or free %s on %s", amount(what, have), what, amount(what, need-have), n.name)
}

func amount(what string, n int64) string {
	switch what {
	case "cpu":
		return resource.NewMilliQuantity(n, resource.DecimalSI).String()
	case "memory":
		return resource.NewQuantity(n, resource.BinarySI).String()
	}
	return strconv.FormatInt(n, 10)
}

// Explain says for each node, by name, which filter refuses a waiting pod first.
// It is empty when some node would take it, or when the pod does not wait.
func Explain(v reconcilers.View, pod events.Key) []events.Reason {
	o, ok := v.Get(pod)
	row, known := v.PodOf(pod)
	if !ok || !known || pod.Resource != events.Pods || row.Node != "" {
		return nil
	}
	w, nodes := wantsOf(o.PodSpec()), nodesOf(v)
	if len(nodes) == 0 {
		return []events.Reason{{Code: CodeNoNodes, Fix: "join a node"}}
	}
	var out []events.Reason
	for _, n := range nodes {
		r, no := w.refused(n)
		if !no {
			return nil
		}
		out = append(out, r)
	}
	return out
}

// summary is a verdict's reasons: Kubernetes' sentence, then for each code and
// thing in question the node that lacks least, so that a verdict stays small
// whatever the number of nodes.
func summary(why []events.Reason, nodes int) []events.Reason {
	if nodes == 0 {
		return []events.Reason{{Code: CodeUnschedulable, Said: "no nodes available to schedule pods"}, {Code: CodeNoNodes, Fix: "join a node"}}
	}
	counts := map[string]int{}
	var nearest []events.Reason
	at := map[string]int{}
	for _, r := range why {
		counts[phrase(r)]++
		id := string(r.Code) + " " + r.What
		i, ok := at[id]
		switch {
		case !ok:
			at[id] = len(nearest)
			nearest = append(nearest, r)
		case gap(r) < gap(nearest[i]):
			nearest[i] = r
		}
	}
	slices.SortStableFunc(nearest, func(a, b events.Reason) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.What, b.What))
	})
	return append([]events.Reason{{Code: CodeUnschedulable, Said: sentence(counts, nodes)}}, nearest...)
}

func sentence(counts map[string]int, nodes int) string {
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, strconv.Itoa(counts[p])+" "+p)
	}
	return fmt.Sprintf("0/%d nodes are available: %s.", nodes, strings.Join(parts, ", "))
}

// phrase is Kubernetes' wording of a refusal.
func phrase(r events.Reason) string {
	switch r.Code {
	case CodeCordoned:
		return "node(s) were unschedulable"
	case CodeNotReady:
		return "node(s) were not ready"
	case CodeNodeName:
		return "node(s) didn't match the requested node name"
	case CodeTaint:
		key, value, _ := strings.Cut(strings.Split(r.Have, ":")[0], "=")
		return "node(s) had untolerated taint {" + key + ": " + value + "}"
	case CodeSelector, CodeAffinity:
		return "node(s) didn't match Pod's node affinity/selector"
	case CodePorts:
		return "node(s) didn't have free ports for the requested pod ports"
	}
	if r.What == "pods" {
		return "Too many pods"
	}
	return "Insufficient " + r.What
}

// gap is how much a node lacks; 0 when it cannot be counted.
func gap(r events.Reason) float64 {
	need, err := resource.ParseQuantity(r.Need)
	have, bad := resource.ParseQuantity(r.Have)
	if r.Code != CodeInsufficient || err != nil || bad != nil {
		return 0
	}
	return need.AsApproximateFloat64() - have.AsApproximateFloat64()
}

// sameCodes tells whether two verdicts say the same, whatever their numbers.
func sameCodes(a, b []events.Reason) bool {
	return slices.EqualFunc(a, b, func(x, y events.Reason) bool { return x.Code == y.Code && x.What == y.What })
}
