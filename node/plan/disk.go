package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

// Signal is what of a node's disk may become scarce, in the kubelet's words.
type Signal string

// The signals: of the file system of pods' volumes and logs, and of that of images and containers. Often they are one.
const (
	NodeAvailable  Signal = "nodefs.available"
	NodeInodes     Signal = "nodefs.inodesFree"
	ImageAvailable Signal = "imagefs.available"
	ImageInodes    Signal = "imagefs.inodesFree"
)

// Free is what there is of a signal and how much there could be, in bytes or inodes.
type Free struct{ Left, Of int64 }

// Threshold is what a signal must not fall below: a share of the whole, in percent, or a quantity; with both, the lesser.
type Threshold struct {
	Signal  Signal
	Percent float64
	AtLeast int64
}

// DefaultThresholds are the kubelet's, but of a large disk no more than what is of use: 15% of 4 TB is no pressure.
func DefaultThresholds() []Threshold {
	return []Threshold{
		{Signal: NodeAvailable, Percent: 10, AtLeast: 10 << 30}, {Signal: ImageAvailable, Percent: 15, AtLeast: 15 << 30},
		{Signal: NodeInodes, Percent: 5, AtLeast: 500_000}, {Signal: ImageInodes, Percent: 5, AtLeast: 500_000},
	}
}

// ParseThresholds reads them in the form of the kubelet's --eviction-hard: "nodefs.available<10%,imagefs.available<5Gi".
// Empty means the default.
func ParseThresholds(s string) ([]Threshold, error) {
	if s == "" {
		return DefaultThresholds(), nil
	}
	var out []Threshold
	for part := range strings.SplitSeq(s, ",") {
		signal, value, ok := strings.Cut(strings.TrimSpace(part), "<")
		t := Threshold{Signal: Signal(signal)}
		switch t.Signal {
		case NodeAvailable, NodeInodes, ImageAvailable, ImageInodes:
		default:
			return nil, fmt.Errorf("%q is no signal: there are %s, %s, %s and %s", signal, NodeAvailable, ImageAvailable, NodeInodes, ImageInodes)
		}
		if !ok || slices.ContainsFunc(out, func(x Threshold) bool { return x.Signal == t.Signal }) {
			return nil, fmt.Errorf("%q is no threshold: write each signal once, as %s<10%% or %s<5Gi", part, t.Signal, t.Signal)
		}
		if err := t.read(value); err != nil {
			return nil, fmt.Errorf("threshold %q: %w", part, err)
		}
		out = append(out, t)
	}
	return out, nil
}

func (t *Threshold) read(value string) (err error) {
	if share, ok := strings.CutSuffix(value, "%"); ok {
		if t.Percent, err = strconv.ParseFloat(share, 64); err == nil && (t.Percent < 0 || t.Percent >= 100) {
			err = errors.New("a share is from 0% to less than 100%")
		}
		return err
	}
	q, err := resource.ParseQuantity(value)
	if err == nil && q.Sign() <= 0 {
		err = errors.New("a quantity is more than 0; 0% sets none")
	}
	t.AtLeast = q.Value()
	return err
}

// bound is the threshold as a quantity of what there is.
func (t Threshold) bound(of int64) int64 {
	share := int64(t.Percent / 100 * float64(of))
	switch {
	case t.AtLeast == 0:
		return share
	case t.Percent == 0:
		return t.AtLeast
	}
	return min(share, t.AtLeast)
}

// Scarce is a threshold that is met.
type Scarce struct {
	Signal      Signal
	Left, Bound int64
}

// ScarceOf are the thresholds that are met, in their order. A file system that has no inodes of its own lacks none.
func ScarceOf(list []Threshold, have map[Signal]Free) []Scarce {
	var out []Scarce
	for _, t := range list {
		free, known := have[t.Signal]
		if bound := t.bound(free.Of); known && free.Of > 0 && free.Left < bound {
			out = append(out, Scarce{t.Signal, free.Left, bound})
		}
	}
	return out
}

// String is "nodefs.available is 12Mi, less than 40Mi".
func (s Scarce) String() string {
	return fmt.Sprintf("%s is %s, less than %s", s.Signal, s.quantity(s.Left), s.quantity(s.Bound))
}

func (s Scarce) quantity(n int64) string {
	if s.Signal == NodeInodes || s.Signal == ImageInodes {
		return strconv.FormatInt(n, 10)
	}
	return binary(n)
}

// binary is a number of bytes as people read it: of the last figures nobody has a use.
func binary(n int64) string {
	const coarse = 1 << 20
	if n > coarse {
		n = n / coarse * coarse
	}
	return resource.NewQuantity(n, resource.BinarySI).String()
}

// DiskCondition is the node's, in the kubelet's words and ours.
func DiskCondition(scarce []Scarce) events.NodeCondition {
	c := events.NodeCondition{Type: events.ConditionDisk, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"}
	if len(scarce) > 0 {
		c.Status, c.Reason = true, "KubeletHasDiskPressure"
		c.Message = "kubelet has disk pressure: " + scarce[0].String()
	}
	return c
}

// Consumer is a pod and what it takes of the disk, in bytes: its volumes, its logs, and what its containers wrote.
type Consumer struct {
	UID      events.UID
	Priority int32
	Used     int64
	Asked    int64 // its request of ephemeral storage
}

// What is never put out: pods of the system by their priority, and those without which nothing would be gained.
const (
	systemPriority = 2_000_000_000
	leastGain      = 1 << 20
)

// Victim is the pod that goes next when the disk is short: of those that take more than they asked for the least
// important, and of these the largest.
func Victim(list []Consumer) (Consumer, bool) {
	list = slices.DeleteFunc(slices.Clone(list), func(c Consumer) bool { return c.Priority >= systemPriority || c.Used < leastGain })
	if len(list) == 0 {
		return Consumer{}, false
	}
	over := func(c Consumer) int {
		if c.Used > c.Asked {
			return 0
		}
		return 1
	}
	return slices.MinFunc(list, func(a, b Consumer) int {
		return cmp.Or(cmp.Compare(over(a), over(b)), cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Used-b.Asked, a.Used-a.Asked), cmp.Compare(a.UID, b.UID))
	}), true
}

// Starves is what is said of a pod that went because the disk was short.
func Starves(c Consumer, s Scarce) string {
	return fmt.Sprintf("The node was low on resource: ephemeral-storage. Threshold quantity: %s, available: %s. The pod was using %s, request is %s, has larger consumption of ephemeral-storage.",
		s.quantity(s.Bound), s.quantity(s.Left), binary(c.Used), binary(c.Asked))
}
