package schedule

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// What preferences about other pods weigh, in thousandths of a node's free share.
const (
	weightPods     = 2000 // as Kubernetes weighs them
	weightEven     = 2000
	weightRequired = 1 // of a required affinity, for the one that it is about
)

// liking is what pods, this one or others, say of being in one domain.
type liking struct {
	domains *domains
	sum     []int64 // of weights, by domain
	self    int64   // what one more pod like this adds
}

// liking is the one of a label, made when it is not there.
func (c *claims) liking(d *domains) *liking {
	for _, l := range c.likes {
		if l.domains == d {
			return l
		}
	}
	l := &liking{domains: d, sum: make([]int64, len(d.names))}
	c.likes = append(c.likes, l)
	return l
}

// prefer counts a term of the pod's own. Pods like this one say the same of it.
func (c *claims) prefer(t *corev1.PodAffinityTerm, weight int64) {
	a, l := aimOf(t, c.namespace, c.labels), c.liking(c.atlas.domains(t.TopologyKey))
	for at, n := range c.tally(a, l.domains) {
		l.sum[at] += weight * int64(n)
	}
	if c.meansSelf(a) {
		l.self += 2 * weight
	}
}

// likedBy counts a term of others about this pod.
func (c *claims) likedBy(crowd *projections.Crowd, key string, weight int64) {
	l := c.liking(c.atlas.domains(key))
	c.each(crowd, func(place, pods int32) {
		if at := l.domains.of[place]; at != none {
			l.sum[at] += weight * int64(pods)
		}
	})
}

// scale measures preferences against what they are among the nodes in question:
// the nodes that are liked best and least lie weightPods apart, and of the spread
// each pod counts for its part of the fullest domain. Of large counts one more is
// little, so the scale is taken anew as a class grows.
func (c *claims) scale(nodes []*node) {
	if c == nil {
		return
	}
	lo, hi, most := int64(math.MaxInt64), int64(math.MinInt64), int64(0)
	for _, n := range nodes {
		likes := c.liked(n.place, both)
		lo, hi, most = min(lo, likes), max(hi, likes), max(most, c.uneven(n.place, both))
	}
	c.likesRange, c.evensMost = max(1, hi-lo), max(1, most)
	for _, l := range c.likes {
		c.likesRange = max(c.likesRange, l.self, -l.self)
	}
	for _, e := range c.evens {
		if e.self {
			c.evensMost += e.weight
		}
	}
}

// weigh says what one pod counts for the spread among these nodes.
func (c *claims) weigh(nodes []*node) {
	if c == nil {
		return
	}
	for _, e := range c.evens {
		e.weight = e.domains.weight(nodes)
	}
}

// weight is what one pod counts where there are so many domains: more of them make
// it rarer that two meet.
func (d *domains) weight(nodes []*node) int64 {
	seen, size := make([]bool, len(d.names)), 0
	for _, n := range nodes {
		if at := d.of[n.place]; at != none && !seen[at] {
			seen[at] = true
			size++
		}
	}
	return int64(math.Round(1000 * math.Log(float64(size+2))))
}

// liked is the sum of what is said of a node's domains.
func (c *claims) liked(place int32, p part) int64 {
	var sum int64
	for _, l := range c.likes {
		if at := l.domains.of[place]; at != none && p.has(l.domains) {
			sum += l.sum[at]
		}
	}
	return sum
}

// uneven is how full a node's domains are.
func (c *claims) uneven(place int32, p part) int64 {
	var sum int64
	for _, e := range c.evens {
		if at := e.domains.of[place]; at != none && p.has(e.domains) {
			sum += e.count[at]*e.weight + e.flat
		}
	}
	return sum
}

// score is what preferences about other pods add to a node's.
func (c *claims) score(place int32, p part) int64 {
	if c == nil {
		return 0
	}
	var sum int64
	if len(c.likes) > 0 {
		sum += c.liked(place, p) * weightPods / c.likesRange
	}
	if len(c.evens) == 0 {
		return sum
	}
	if c.strict && p&single != 0 && c.lacks(place) {
		sum -= 2 * weightEven // below all that have the labels
	}
	return sum - c.uneven(place, p)*weightEven/c.evensMost
}

func (c *claims) lacks(place int32) bool {
	for _, e := range c.evens {
		if e.domains.of[place] == none {
			return true
		}
	}
	return false
}

// grows tells whether the class's own pods move its preferences.
func (c *claims) grows() bool {
	if c == nil {
		return false
	}
	for _, e := range c.evens {
		if e.self {
			return true
		}
	}
	for _, l := range c.likes {
		if l.self != 0 {
			return true
		}
	}
	return false
}
