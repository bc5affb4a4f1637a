package schedule

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Explain says for each node, by name, which filter refuses a waiting pod first.
// It is empty when some node would take it, or when the pod does not wait.
func Explain(v reconcilers.View, pod events.Key) []events.Reason {
	o, ok := v.Get(pod)
	row, known := v.PodOf(pod)
	if !ok || !known || pod.Resource != events.Pods || row.Node != "" || !seeks(o.PodSpec()) {
		return nil
	}
	w, a := wantsOf(v, o), atlasOf(nodesOf(v))
	if len(a.nodes) == 0 {
		return []events.Reason{{Code: CodeNoNodes, Fix: "join a node"}}
	}
	c := claimsOf(v, a, o, w)
	out := explain(w, c, a.nodes)
	if len(out) < len(a.nodes) {
		return nil
	}
	c.name(out)
	return out
}

// explain says why nodes do not take a pod.
func explain(w *wants, c *claims, nodes []*node) []events.Reason {
	var out []events.Reason
	for _, n := range nodes {
		if r, no := w.refused(n, c); no {
			out = append(out, r)
		}
	}
	return out
}

// refused tells people why a node does not take the pod, and what would help.
func (w *wants) refused(n *node, c *claims) (events.Reason, bool) {
	r := w.refuses(n)
	if r.code == "" {
		r = c.refuses(n.place, both)
	}
	out := events.Reason{Code: r.code, About: n.key, What: r.what}
	switch r.code {
	case "":
		return events.Reason{}, false
	case CodeNodeName:
		out.Need, out.Have, out.Fix = w.node, n.name, "name "+n.name+" in spec.nodeName, or none"
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
	case CodeClaim, CodeVolumeNode, CodeVolumeNone, CodeVolumeHeld:
		out = *r.disk
		out.About = n.key
	default:
		out = r.elsewhere(n, out)
	}
	return out, true
}

// mismatch names the requirement that comes nearest to be met.
func (w *wants) mismatch(n *node, out events.Reason) events.Reason {
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

// fix is the nearest change that would help: to ask for what there is, when
// there is some; else room has to come from elsewhere. Nothing can be freed of what a node never had.
func fix(what string, need, have int64, n *node) string {
	elsewhere := "add a node with " + amount(what, need) + " " + what
	if need <= n.capacity(what) {
		elsewhere = fmt.Sprintf("free %s %s on %s", amount(what, need-have), what, n.name)
	}
	switch {
	case what == "pods":
		return "add a node"
	case have > 0:
		return fmt.Sprintf("ask for at most %s %s, or %s", amount(what, have), what, elsewhere)
	case need <= n.capacity(what):
		return elsewhere + ", or add a node"
	}
	return elsewhere
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
