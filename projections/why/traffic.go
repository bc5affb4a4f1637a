package why

import (
	"fmt"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// keptLocal says what policies make of a service on nodes without endpoints of it: who asks there waits in vain, while all else
// of the service looks well.
func (q Question) keptLocal(k events.Key) []string {
	row, ok := projections.NetRow(q.State, k)
	on, none := projections.Spread(q.State, row)
	if !ok || len(on)+len(none) == 0 {
		return nil
	}
	with := make([]string, len(on))
	for i, n := range on {
		with[i] = n.String()
	}
	out := []string{"ready endpoints are on " + orNobody(with)}
	if row.Kept.Internal && len(none) > 0 {
		out = append(out, "internalTrafficPolicy is Local: who asks its ClusterIP on "+someOf(none)+" is refused")
	}
	if row.Kept.External && len(none) > 0 && len(on) > 0 {
		out = append(out, "externalTrafficPolicy is Local: what comes from outside to "+someOf(none)+" is dropped")
	}
	return out
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "no node"
	}
	return someOf(names)
}

// someOf names the first few.
func someOf(names []string) string {
	if len(names) <= maxTold {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxTold], ", "), len(names)-maxTold)
}
