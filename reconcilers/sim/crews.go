package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/reconcilers/run"
)

// crewKind is what may not change of a StatefulSet.
type crewKind struct{ name, spec string }

// crews are the StatefulSets that people have.
var crews = []crewKind{
	{"ordered", `"podManagementPolicy":"OrderedReady"`},
	{"slow", `"podManagementPolicy":"OrderedReady","minReadySeconds":8,"ordinals":{"start":3}`},
	{"crew", `"podManagementPolicy":"Parallel"`},
}

func crewKey(i int) events.Key {
	return events.Key{Resource: events.StatefulSets, Namespace: "default", Name: crews[i].name}
}

// crew is somebody who makes a StatefulSet, changes its size, its template or the
// partition, or takes it away.
func (w *World) crew(r uint64, rng *rand.Rand) {
	i, replicas := w.pickCrew(rng)
	if rng.IntN(8) == 0 {
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Cascade: []string{"background", "foreground", "orphan"}[rng.IntN(3)], Items: []wire.Item{{Key: crewKey(i)}}})
		return
	}
	partition := 0
	if rng.IntN(5) == 0 {
		partition = rng.IntN(3)
	}
	image := images[rng.IntN(3)]
	if rng.IntN(8) == 0 { // a broken one holds an ordered set up for good
		image = images[rng.IntN(len(images))]
	}
	body := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":%[1]q,"namespace":"default"},"spec":{%s,"replicas":%d,
"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":%d,"maxUnavailable":%d}},"selector":{"matchLabels":{"crew":%[1]q}},
"template":{"metadata":{"labels":{"crew":%[1]q}},"spec":{"terminationGracePeriodSeconds":20,"containers":[{"name":"c","image":%[6]q,"resources":{"requests":{"cpu":"100m"}}}]}}}}`,
		crews[i].name, crews[i].spec, replicas, partition, 1+rng.IntN(4)/3, image)
	w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(body)}}})
}

// pickCrew draws a set, mostly one that is there, and a size for it, often the one
// that it has: so templates are rolled.
func (w *World) pickCrew(rng *rand.Rand) (i, replicas int) {
	i, replicas = rng.IntN(len(crews)), 1+rng.IntN(4)
	first := rng.IntN(len(crews))
	for n := range crews {
		at := (first + n) % len(crews)
		if o, ok := w.newest().Get(crewKey(at)); ok && rng.IntN(3) > 0 {
			i = at
			if rng.IntN(3) > 0 {
				var s crewSpec
				read(o.Raw, &s)
				replicas = s.Spec.Replicas
			}
			return i, replicas
		}
	}
	return i, replicas
}

// crewSpec is a StatefulSet as the judges read it.
type crewSpec struct {
	Spec struct {
		Replicas  int    `json:"replicas"`
		MinReady  int    `json:"minReadySeconds"`
		Policy    string `json:"podManagementPolicy"`
		Partition struct {
			RollingUpdate struct {
				Partition      int             `json:"partition"`
				MaxUnavailable json.RawMessage `json:"maxUnavailable"`
			} `json:"rollingUpdate"`
		} `json:"updateStrategy"`
		Ordinals struct {
			Start int `json:"start"`
		} `json:"ordinals"`
		Template podBody `json:"template"`
	} `json:"spec"`
}

// crew is what a StatefulSet was from an event on.
type crew struct {
	seq                         events.Seq
	first, end, keep, away, sec int
	ordered                     bool
	image                       string
}

func (s crewSpec) crew(seq events.Seq) crew {
	x := s.Spec
	c := crew{seq: seq, first: x.Ordinals.Start, end: x.Ordinals.Start + x.Replicas, sec: x.MinReady, ordered: x.Policy == "OrderedReady", image: x.Template.image()}
	c.keep = c.first + x.Partition.RollingUpdate.Partition
	c.away = max(1, share(x.Partition.RollingUpdate.MaxUnavailable, x.Replicas, math.Floor))
	return c
}

func (b *podBody) image() string {
	if len(b.Spec.Containers) == 0 {
		return ""
	}
	return b.Spec.Containers[0].Image
}

// crewAt is what a set was when a decision looked at it.
func (o *entry) crewAt(at events.Seq) (crew, bool) {
	for i := len(o.crews) - 1; i >= 0; i-- {
		if o.crews[i].seq <= at {
			return o.crews[i], true
		}
	}
	return crew{}, false
}

func placeIn(pod events.Key) int {
	n, err := strconv.Atoi(pod.Name[strings.LastIndexByte(pod.Name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

// muster is a StatefulSet's pods as a decision saw them, by ordinal.
type muster struct {
	crew
	there, serves map[int]bool
}

func (j *judge) muster(o *entry, c crew, w run.Work, at events.Seq) muster {
	m := muster{c, map[int]bool{}, map[int]bool{}}
	for _, p := range j.l.order {
		if p.owner != o.uid || p.born > at || p.gone != 0 && p.gone <= at {
			continue
		}
		n := placeIn(p.key)
		m.there[n] = true
		past := func(seq events.Seq) bool { return seq != 0 && seq <= at }
		m.serves[n] = !past(p.deleted) && !past(p.ended) && j.l.ripeAt(p, at, w.Records[0].Envelope.Now, c.sec)
	}
	return m
}

func (m muster) beyond(n int) bool { return n < m.first || n >= m.end }

// mostCrew is the most ordinals that are looked at one by one.
const mostCrew = 1000

// crewed judges a StatefulSet's decision on its pods.
func (j *judge) crewed(w run.Work, at events.Seq) {
	o := j.l.objects[w.Key]
	if o == nil || o.deleting {
		return
	}
	c, ok := o.crewAt(at)
	if !ok {
		return
	}
	if c.end-c.first > mostCrew {
		return // a number that nobody means: what is made of it is for the quota
	}
	m := j.muster(o, c, w, at)
	away := 0
	for n := c.first; n < c.end; n++ {
		if !m.serves[n] {
			away++
		}
	}
	for _, r := range w.Records {
		k, _ := r.Envelope.Subject.Key()
		switch r.Envelope.Type {
		case events.TypeOf(events.Pods, events.VerbCreated):
			j.enlists(m, k)
		case events.TypeOf(events.Pods, events.VerbDeletionRequested):
			var b wish
			read(r.Envelope.Body, &b)
			if p := j.l.pods[b.UID]; p != nil && (p.ended == 0 || p.ended > at) && j.dismisses(m, k, away) {
				away++
			}
		}
	}
}

// enlists: a pod is made within the ordinals, and in order after all before it serve.
func (j *judge) enlists(m muster, k events.Key) {
	n := placeIn(k)
	if m.beyond(n) {
		j.w.fail("crews", "%s is made, of %d to %d", k, m.first, m.end-1)
	}
	for i := m.first; m.ordered && i < n; i++ {
		if !m.serves[i] {
			j.w.fail("crews", "%s is made before %d serves", k, i)
		}
	}
}

// dismisses: a pod that still runs goes because it is beyond the ordinals, in order the
// last first; or for another template, never below the partition, and with no more
// away than may be. It tells whether one more is away then.
func (j *judge) dismisses(m muster, k events.Key, away int) bool {
	n := placeIn(k)
	if m.beyond(n) {
		for i := range m.there {
			if m.ordered && i > n && m.beyond(i) {
				j.w.fail("crews", "%s goes before %d", k, i)
			}
		}
		return false
	}
	switch {
	case n < m.keep:
		j.w.fail("crews", "%s is below the partition at %d and goes", k, m.keep)
	case m.ordered && !m.serves[n]:
		j.w.fail("crews", "%s goes while it does not serve", k)
	case m.serves[n] && away+1 > m.away:
		j.w.fail("crews", "%s goes while %d are away, of %d that may be", k, away, m.away)
	}
	return m.serves[n]
}

// begins: nobody but a set's own controller knows where its pods are by now, so a node that
// heard of nothing since it began leaves them alone.
func (j *judge) begins(n *node, p *pod) {
	if n.reads.At == 0 && slices.ContainsFunc(crews, func(c crewKind) bool { return strings.HasPrefix(p.key.Name, c.name+"-") }) {
		j.w.fail("instance", "%s begins on %s, which nobody has told anything since it began", p.key, n.name)
	}
}

// namesakes: a pod starts while another one of its name runs, and nobody has taken the node
// of either for dead.
func (j *judge) namesakes(n *node, p *pod) {
	if mine := j.l.pods[p.uid]; mine != nil && j.dead(n, mine) {
		return
	}
	for _, other := range j.w.nodes {
		for _, q := range other.pods {
			if q.key != p.key || q.uid == p.uid || q.running() == 0 {
				continue
			}
			if was := j.l.pods[q.uid]; was != nil && was.node == other.name && !j.dead(other, was) {
				j.w.fail("instance", "%s starts on %s while one of its name runs on %s", p.key, n.name, other.name)
			}
		}
	}
}

// dead: somebody has taken a pod's node for dead since the pod was given to it.
func (j *judge) dead(n *node, p *life) bool {
	return last(j.l.member[n.name], j.w.store.end()).seq >= p.assigned
}

// mustered: at rest, a StatefulSet whose pods come up has those that it wants, each
// ready and from the partition on of its image.
func (j *judge) mustered() {
	for i := range crews {
		o := j.l.objects[crewKey(i)]
		if o == nil {
			continue
		}
		end := j.w.store.end()
		c, _ := o.crewAt(end)
		bad, ready, told := neverUp(c.image), 0, ""
		for _, p := range j.l.order {
			if p.owner != o.uid || p.gone != 0 {
				continue
			}
			bad = bad || neverUp(p.image)
			told += " " + p.key.Name
			if n := placeIn(p.key); n >= c.first && n < c.end && (n < c.keep || p.image == c.image) && j.l.ripeAt(p, end, j.w.now, c.sec) {
				ready++
			} else {
				ready = math.MinInt
			}
		}
		if !bad && ready != c.end-c.first && !j.waiting() {
			j.w.fail("settle", "%s wants %d to %d, and has%s", crews[i].name, c.first, c.end-1, told)
		}
	}
}

// neverUp tells whether pods of an image never come up.
func neverUp(image string) bool {
	return strings.HasPrefix(image, "bad") || strings.HasPrefix(image, "crash")
}
