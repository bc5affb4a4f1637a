package schedule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

// summary is a verdict's reasons: Kubernetes' sentence, then for each code and
// thing in question the node that lacks least, so that a verdict stays small
// whatever the number of nodes. Of so many nodes only those that were looked at were in question at all: the others
// have not the name that the pod's affinity wants.
func summary(why []events.Reason, looked, nodes int) []events.Reason {
	if nodes == 0 {
		return []events.Reason{{Code: CodeUnschedulable, Said: "no nodes available to schedule pods"}, {Code: CodeNoNodes, Fix: "join a node"}}
	}
	if why[0].Code == CodeClaim { // of the pod, not of a node: said once, as Kubernetes says it
		return []events.Reason{{Code: CodeUnschedulable, Said: fmt.Sprintf("0/%d nodes are available: %s.", nodes, why[0].Said)}, claimAlone(why[0])}
	}
	counts := map[string]int{}
	if others := nodes - looked; others > 0 {
		counts[phrase(events.Reason{Code: CodeAffinity})] = others
	}
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
	case CodeSkew:
		return "node(s) didn't match pod topology spread constraints"
	case CodeNoDomain:
		return "node(s) didn't match pod topology spread constraints (missing required label)"
	case CodePodAffinity:
		return "node(s) didn't match pod affinity rules"
	case CodeAntiAffinity:
		return "node(s) didn't match pod anti-affinity rules"
	case CodeKeptOut:
		return "node(s) didn't satisfy existing pods anti-affinity rules"
	case CodeClaim:
		return r.Said
	case CodeVolumeNode:
		return "node(s) didn't match PersistentVolume's node affinity"
	case CodeVolumeNone:
		return "node(s) didn't find available persistent volumes to bind"
	case CodeVolumeHeld:
		return "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
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
