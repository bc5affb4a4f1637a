package deployment

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
)

// wish reads the wished size and the room around it, rounded as Kubernetes does:
// surge up, unavailable down, and never both zero.
func (p *pass) wish() {
	p.want = 1
	if p.d.Spec.Replicas != nil {
		p.want = int(*p.d.Spec.Replicas)
	}
	if p.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return
	}
	surge, away := intstr.FromString("25%"), intstr.FromString("25%")
	if ru := p.d.Spec.Strategy.RollingUpdate; ru != nil {
		surge, away = or(ru.MaxSurge, surge), or(ru.MaxUnavailable, away)
	}
	p.surge, p.away = scaled(surge, p.want, true), scaled(away, p.want, false)
	if p.surge == 0 && p.away == 0 {
		p.away = 1
	}
	p.away = min(p.away, p.want)
}

func or(v *intstr.IntOrString, otherwise intstr.IntOrString) intstr.IntOrString {
	if v == nil {
		return otherwise
	}
	return *v
}

func scaled(v intstr.IntOrString, of int, up bool) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&v, of, up)
	if err != nil {
		return 0 // admission refuses what cannot be read
	}
	return max(n, 0)
}

// most is how many pods there may be, 0 when none are wished.
func (p *pass) most() int {
	if p.want == 0 {
		return 0
	}
	return p.want + p.surge
}

// total is the pods that all sets ask for.
func (p *pass) total() int {
	n := 0
	for _, s := range p.sets {
		n += s.size
	}
	return n
}

// taken is the pods that there are or will be: a set that was made smaller still
// has its pods until it asks them to go. Kubernetes counts wishes here, and has
// too many pods for a moment.
func (p *pass) taken() int {
	n := 0
	for _, s := range p.sets {
		n += max(s.size, s.o.Tally.Pods)
	}
	return n
}

// roll moves pods from the old sets to the present one, a step at a time.
func (p *pass) roll() {
	if p.grow() {
		return // what is taken away is decided on what there is then
	}
	p.shrink()
}

// grow brings the present set to the wish as far as the surge allows.
func (p *pass) grow() bool {
	f := p.fresh
	if f.size > p.want {
		f.size = p.want
		return true
	}
	f.size += min(p.room(), max(0, p.want-f.size))
	return f.size != f.have
}

// shrink takes pods from the old sets: first those that are not available, then
// as many as are available beyond what is needed.
func (p *pass) shrink() {
	old := p.old()
	if sum(old) == 0 {
		return
	}
	floor, coming := p.floor(), max(0, p.fresh.size-p.fresh.available)
	room := p.total() - (p.want - p.away) - coming
	for _, s := range old {
		bad := max(0, min(room, s.size-s.available))
		s.size, room = s.size-bad, room-bad
	}
	spare := min(p.total()-floor-coming, p.ready()-floor)
	for _, s := range old {
		cut := max(0, min(spare, s.size))
		s.size, spare = s.size-cut, spare-cut
	}
	if sum(old) > 0 {
		p.waits(floor)
	}
}

// floor is how many available pods have to stay. A template that was given to
// nodes and never came up there may not cost what maxUnavailable would allow,
// unless its pods can be placed nowhere else than in the room of the old ones.
func (p *pass) floor() int {
	if p.surge > 0 && p.fresh.available == 0 && p.fresh.size > 0 && !p.squeezed() {
		return p.want
	}
	return p.want - p.away
}

// squeezed tells whether a pod of the present set was refused by the scheduler.
func (p *pass) squeezed() bool {
	for o := range p.v.Children(p.fresh.o.UID) {
		row, ok := p.v.PodOf(o.Key)
		if !ok || row.Node != "" {
			continue
		}
		if v, ok := p.v.Verdict(o.Key); ok && v.UID == o.UID && len(v.Reasons) > 0 {
			return true
		}
	}
	return false
}

// ready is how many pods of all sets are available.
func (p *pass) ready() int {
	n := 0
	for _, s := range p.sets {
		n += s.available
	}
	return n
}

func (p *pass) waits(floor int) {
	p.because(events.Reason{Code: "RolloutWaiting", About: p.fresh.o.Key, What: "available pods",
		Need: strconv.Itoa(floor), Have: strconv.Itoa(p.ready())})
}

// recreate empties the old sets, waits until nothing of them runs, and then
// fills the present one.
func (p *pass) recreate() {
	if !p.retire() {
		p.fresh.size = p.want
	}
}

// retire empties the old sets; it tells whether pods of theirs are still there.
func (p *pass) retire() bool {
	left := 0
	for _, s := range p.old() {
		s.size = 0
		left += s.have + s.o.Tally.Pods + s.o.Tally.Terminating
	}
	if left > 0 {
		p.because(events.Reason{Code: "RecreateWaiting", About: p.o.Key, What: "old pods", Need: "0", Have: strconv.Itoa(left)})
	}
	return left > 0
}

// resized tells whether the wish changed since the sets were last sized.
func (p *pass) resized() bool {
	return slices.ContainsFunc(p.sets, func(s *set) bool {
		return s.have > 0 && s.desired != "" && s.desired != strconv.Itoa(p.want)
	})
}

// scale sizes the sets to the wish without moving the rollout: one set gets it
// all, several share in proportion.
func (p *pass) scale() {
	live := slices.DeleteFunc(slices.Clone(p.sets), func(s *set) bool { return s.size == 0 })
	switch {
	case len(live) == 1:
		p.resize(live[0])
	case len(live) == 0 && p.fresh != nil:
		p.resize(p.fresh)
	case len(live) == 0 && len(p.sets) > 0:
		p.resize(p.sets[len(p.sets)-1])
	case len(live) > 1:
		p.share(live)
	}
}

// resize brings a set to the wish, as far as there is room beside the pods that other sets have still to ask to go; the
// rest comes when those are gone.
func (p *pass) resize(s *set) {
	s.size = min(p.want, s.size+p.room())
}

// room is how many pods may be added now.
func (p *pass) room() int { return max(0, p.most()-p.taken()) }

// share adds or takes in proportion to the sizes, each part rounded to the nearest as Kubernetes does; what the rounding
// leaves goes to the largest, of equal ones to the newer when adding, to the older when taking.
func (p *pass) share(live []*set) {
	before := sum(live)
	add := min(p.most()-before, p.room())
	sorted := slices.Clone(live)
	slices.SortStableFunc(sorted, func(a, b *set) int {
		age := cmp.Compare(a.o.Created.Seq, b.o.Created.Seq)
		if add > 0 {
			age = -age
		}
		return cmp.Or(cmp.Compare(b.size, a.size), age)
	})
	rest := add
	for _, s := range sorted {
		part := int(math.Round(float64(s.size) * float64(add) / float64(before)))
		part = max(min(part, max(rest, 0)), min(rest, 0)) // never past what there is to share
		s.size, rest = s.size+part, rest-part
	}
	for _, s := range sorted {
		take := max(rest, -s.size)
		s.size, rest = s.size+take, rest-take
	}
}

func sum(sets []*set) int {
	n := 0
	for _, s := range sets {
		n += s.size
	}
	return n
}
