package sim

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers/run"
)

// where is what a pod's spec says of other pods, as far as people here write it.
type where struct {
	Affinity struct {
		Node json.RawMessage `json:"nodeAffinity"`
		Anti struct {
			Required []ruleBody `json:"requiredDuringSchedulingIgnoredDuringExecution"`
		} `json:"podAntiAffinity"`
	} `json:"affinity"`
	Spread []ruleBody        `json:"topologySpreadConstraints"`
	Nodes  map[string]string `json:"nodeSelector"`
}

type ruleBody struct {
	Key      string `json:"topologyKey"`
	MaxSkew  int    `json:"maxSkew"`
	When     string `json:"whenUnsatisfiable"`
	Selector *struct {
		Labels map[string]string `json:"matchLabels"`
		Others json.RawMessage   `json:"matchExpressions"`
	} `json:"labelSelector"`

	Namespaces, NamespaceSelector, MatchLabelKeys, MismatchLabelKeys, MinDomains json.RawMessage

	Affinity string `json:"nodeAffinityPolicy"`
	Taints   string `json:"nodeTaintsPolicy"`
}

// plain tells whether the judge can read a rule: a real log may have others.
func (r ruleBody) plain() bool {
	return r.Selector != nil && r.Selector.Others == nil && r.Namespaces == nil && r.NamespaceSelector == nil && r.MatchLabelKeys == nil &&
		r.MismatchLabelKeys == nil && r.MinDomains == nil && r.Affinity != "Ignore" && r.Taints != "Honor"
}

// place is the same in the ledger, with what others see of the pod.
type place struct {
	template string // empty: the pod has a spec or labels of its own
	labels   map[string]string
	apart    []ruleBody // required anti-affinity
	spread   []ruleBody // DoNotSchedule
}

func placeOf(b *podBody, w wish) place {
	p := place{template: w.plain(), labels: b.Metadata.Labels}
	for _, r := range b.Spec.Affinity.Anti.Required {
		if r.plain() {
			p.apart = append(p.apart, r)
		}
	}
	anywhere := b.Spec.Affinity.Node == nil && len(b.Spec.Nodes) == 0
	for _, r := range b.Spec.Spread {
		if r.When == "DoNotSchedule" && r.plain() && anywhere {
			p.spread = append(p.spread, r)
		}
	}
	return p
}

// plain is the template of a pod that adds nothing to its spec and labels.
func (w wish) plain() string {
	var own struct {
		Metadata struct{ Labels json.RawMessage }
		Spec     json.RawMessage
	}
	if read(w.Object, &own); own.Spec != nil || own.Metadata.Labels != nil {
		return ""
	}
	return w.Template
}

// ends notes when a pod came to its end.
func (p *life) ends(at events.Seq) {
	if p.ended == 0 && p.over() {
		p.ended = at
	}
}

// thereAt tells whether a pod held its node then.
func (p *life) thereAt(at events.Seq) bool {
	return p.assigned != 0 && p.assigned <= at && (p.ended == 0 || p.ended > at)
}

// waitedAt tells whether a pod had no node yet then and wanted one.
func (p *life) waitedAt(at events.Seq) bool {
	return p.born <= at && (p.assigned == 0 || p.assigned > at) && (p.deleted == 0 || p.deleted > at) && (p.ended == 0 || p.ended > at)
}

func (r ruleBody) about(of, other *life) bool {
	for k, v := range r.Selector.Labels { //stave:sorted one answer for all
		if has, ok := other.place.labels[k]; !ok || has != v {
			return false
		}
	}
	return of.key.Namespace == other.key.Namespace
}

// placing is a decision of the scheduler, gone through pod by pod.
type placing struct {
	j     *judge
	at    events.Seq // the view that it was made on
	nodes map[string]map[string]string
	there map[*life]string // where pods are by now
	maybe map[*life]string // pods of which the ledger cannot say whether they have run to their end
}

// placed judges where pods are put, each at its moment: what was there on the view
// of the decision, and what the decision had put somewhere before.
func (j *judge) placed(w run.Work, at events.Seq) {
	p := placing{j: j, at: at, nodes: map[string]map[string]string{}, there: map[*life]string{}, maybe: map[*life]string{}}
	for name, turns := range j.l.member { //stave:sorted each has an entry of its own
		if last(turns, at).yes {
			p.nodes[name] = j.l.groundAt(name, at).Metadata.Labels
		}
	}
	for _, l := range j.l.order {
		if l.thereAt(at) {
			p.there[l] = l.node
		} else if l.assigned != 0 && l.assigned <= at && !l.stopped && !l.removed {
			p.maybe[l] = l.node
		}
	}
	given := map[events.UID]string{}
	for _, r := range w.Records {
		if r.Envelope.Type == events.PodsAssigned {
			var b events.Assigned
			read(r.Envelope.Body, &b)
			for _, ref := range b.Pods {
				given[ref.UID] = nodeOf(r.Envelope)
			}
		}
	}
	for _, l := range p.order() {
		if node, ok := given[l.uid]; ok {
			p.put(l, node)
		}
	}
}

// order is the one in which the scheduler promises to take pods: equal ones
// together, the most important first, then those with the oldest.
func (p placing) order() []*life {
	type kind struct {
		namespace, template string
		uid                 events.UID
	}
	var kinds []kind
	of := map[kind][]*life{}
	for _, l := range p.j.l.order {
		if !l.waitedAt(p.at) {
			continue
		}
		k := kind{namespace: l.key.Namespace, template: l.place.template}
		if k.template == "" {
			k.uid = l.uid
		}
		if of[k] == nil {
			kinds = append(kinds, k)
		}
		of[k] = append(of[k], l)
	}
	slices.SortStableFunc(kinds, func(a, b kind) int { return of[b][0].priority - of[a][0].priority })
	var out []*life
	for _, k := range kinds {
		out = append(out, of[k]...)
	}
	return out
}

func (p placing) put(l *life, node string) {
	for _, other := range p.j.l.order {
		at, ok := p.there[other]
		if !ok {
			continue
		}
		for _, r := range l.place.apart {
			if r.about(l, other) && p.together(node, at, r.Key) {
				p.j.w.fail("place", "%s wants to be apart from %s, and is put on %s beside it", l.key, other.key, node)
			}
		}
		for _, r := range other.place.apart {
			if r.about(other, l) && p.together(node, at, r.Key) {
				p.j.w.fail("place", "%s wants to be apart from %s, which is put on %s beside it", other.key, l.key, node)
			}
		}
	}
	for _, r := range l.place.spread {
		p.even(l, node, r)
	}
	p.there[l] = node
}

func (p placing) together(a, b, key string) bool {
	x, ok := p.nodes[a][key]
	y, also := p.nodes[b][key]
	return ok && also && x == y
}

// even judges a spread that must hold.
func (p placing) even(l *life, node string, r ruleBody) {
	counts := map[string]int{}
	for _, labels := range p.nodes { //stave:sorted a sum
		if domain, ok := labels[r.Key]; ok {
			counts[domain] += 0
		}
	}
	for other, at := range p.there { //stave:sorted a sum
		if domain, ok := p.nodes[at][r.Key]; ok && r.about(l, other) && (other.deleted == 0 || other.deleted > p.at) {
			counts[domain]++
		}
	}
	mine := p.nodes[node][r.Key]
	if r.about(l, l) {
		counts[mine]++
	}
	least := counts[mine]
	if r.about(l, l) {
		least--
	}
	for other, at := range p.maybe { //stave:sorted a sum
		if domain, ok := p.nodes[at][r.Key]; ok && domain != mine && r.about(l, other) {
			counts[domain]++
		}
	}
	for _, n := range slices.Sorted(maps.Values(counts)) {
		least = min(least, n)
	}
	if counts[mine]-least > r.MaxSkew {
		p.j.w.fail("place", "%s is put on %s, where %s=%s has %d and another only %d", l.key, node, r.Key, mine, counts[mine], least)
	}
}
