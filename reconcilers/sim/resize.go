package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// resize is somebody who wants other resources for a pod while it runs; now and then more than any node has.
func (w *World) resize(r uint64, rng *rand.Rand) {
	o := w.somePod(rng)
	if o == nil {
		return
	}
	pod := projections.As[*corev1.Pod](o).DeepCopy()
	pod.APIVersion, pod.Kind, pod.ResourceVersion = "v1", "Pod", ""
	cpu := resource.MustParse(fmt.Sprintf("%dm", 100*(1+rng.IntN(14))))
	if rng.IntN(8) == 0 {
		cpu = resource.MustParse("5")
	}
	for i := range pod.Spec.Containers {
		if have := pod.Spec.Containers[i].Resources.Requests; have != nil {
			have[corev1.ResourceCPU] = cpu
		}
	}
	id := strconv.FormatUint(r, 16)
	op := events.NewOpID(clusterName, somebody, id, o.Key, 0)
	w.submit(run.Request{Actor: somebody, ID: id, Key: o.Key, Change: events.ChangeID(id), Decide: func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
		out := admit.Admit(v, admit.Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Replace}, Item: wire.Item{Object: json.RawMessage(events.MustBody(pod))},
			Op: op, Part: admit.PartResize}, now)
		if out.Result.Error != nil {
			return nil, errRefused
		}
		return out.Drafts, nil
	}})
}

// sizes is what the ledger knows of a pod's resources beside what it wishes for.
type sizes struct {
	may     room       // what it may use
	held    room       // what it may still have, until its node said that it has what it may
	most    room       // the largest of all of these that ever were
	wish    int64      // generation of the wish that is not granted; 0: none
	refused string     // why it is not
	grant   events.Seq // the last one
}

func (r room) larger(than room) room {
	return room{max(r.milli, than.milli), max(r.bytes, than.bytes), max(r.pods, than.pods)}
}

// wishes notes what a pod asks for by its newest spec. One that has a node does not have it yet.
func (p *life) wishes(before room, generation int64) {
	p.sizes.most = p.sizes.most.larger(p.ask)
	switch {
	case p.node == "":
		p.sizes.may = p.ask
	case before == p.ask:
	case p.ask == p.sizes.may:
		p.sizes.wish, p.sizes.refused = 0, ""
	default:
		p.sizes.wish, p.sizes.refused = generation, ""
	}
}

// resized notes what became of a wish.
func (l *ledger) resized(seq events.Seq, b wish) {
	p := l.pods[b.UID]
	switch {
	case p == nil || p.sizes.wish == 0 || p.sizes.wish != b.Generation:
	case b.Refused != "":
		p.sizes.refused = b.Refused
	default:
		p.sizes.held = p.sizes.held.larger(p.sizes.may)
		p.sizes.may, p.sizes.wish, p.sizes.refused, p.sizes.grant = p.ask, 0, "", seq
	}
}

// granted: what a pod is granted does not make its node hold more than it has.
func (j *judge) granted(e events.Envelope) {
	if e.Type != events.PodsResized {
		return
	}
	var b wish
	read(e.Body, &b)
	if p := j.l.pods[b.UID]; p != nil && b.Refused == "" && p.sizes.grant == e.Seq && !p.over() {
		j.capacity(p.node)
	}
}

// sizesAtRest: every wish is granted or has an answer, none waits that has room, and nodes have done what was granted.
func (j *judge) sizesAtRest() {
	for _, p := range j.l.order {
		if p.node == "" || p.over() || p.deleted != 0 || j.l.objects[events.Key{Resource: events.Nodes, Name: p.node}] == nil {
			continue
		}
		u, has := j.l.used(p.node), j.l.nodes[p.node]
		now := p.sizes.may.larger(p.sizes.held)
		more := room{milli: max(0, p.ask.milli-now.milli), bytes: max(0, p.ask.bytes-now.bytes)}
		fits := u.milli+more.milli <= has.milli && u.bytes+more.bytes <= has.bytes
		switch s := p.sizes; {
		case s.wish != 0 && s.refused == "":
			j.w.fail("settle", "%s wishes for other resources and nothing is said", p.key)
		case s.wish != 0 && fits:
			j.w.fail("settle", "%s wishes for %+v, and %s has room", p.key, p.ask, p.node)
		case s.held != room{}:
			j.w.fail("settle", "%s did not say that %s has what it was granted at %d", p.node, p.key, s.grant)
		}
	}
}
