package plan

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

// evictionGrace is what containers get of a pod that takes more than it may: as Kubernetes has it, hardly any.
const evictionGrace = time.Second

// evict ends a pod for good: it is told first, so that its replacement need not wait for its end.
func (p *planner) evict(reason, message string) {
	p.news()
	if !p.o.Told.Failed {
		p.report(events.Fact{Kind: events.FactFailed, Reason: reason, Message: message})
	}
	running := p.leaving()
	switch {
	case len(running) > 0:
		p.do(Stop{Runs: running, Grace: evictionGrace})
	case p.o.Remains && p.o.Cleanup.Until.After(p.now):
		p.wake(p.o.Cleanup.Until)
	case p.o.Remains:
		p.do(Clean{})
	}
}

// DiskLimit is the bound of a volume on the node's disk, in bytes; false when it has none.
func DiskLimit(v corev1.Volume) (resource.Quantity, bool) {
	e := v.EmptyDir
	if e == nil || e.Medium == corev1.StorageMediumMemory || e.SizeLimit == nil || e.SizeLimit.Sign() <= 0 {
		return resource.Quantity{}, false
	}
	return *e.SizeLimit, true
}

// Outgrown is what is said of a volume that holds more than it may.
func Outgrown(volume string, limit resource.Quantity) string {
	return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q.", volume, limit.String())
}
