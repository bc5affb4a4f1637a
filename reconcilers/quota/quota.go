// Package quota takes back what clients write of a ResourceQuota's numbers: they are counted, and in Kubernetes its
// controller writes its own over theirs.
package quota

import (
	"encoding/json"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "quota" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 1 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource { return []events.Resource{events.Quotas} }

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.Quotas, events.VerbStatusWritten)}
}

// Keys implements reconcilers.Reconciler: a quota whose status somebody wrote.
func (Reconciler) Keys(_ reconcilers.View, c projections.Change) []events.Key {
	if c.Key.Resource == events.Quotas && c.After != nil && len(c.After.Status) > 0 {
		return []events.Key{c.Key}
	}
	return nil
}

// Decide implements reconcilers.Reconciler. The managers of the status stay: who wrote it is no lie.
func (Reconciler) Decide(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || !counted(o.Status) {
		return reconcilers.Decision{}
	}
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.WriteStatus(o, events.StatusWritten{})},
		Because: []events.Reason{{Code: "Counted", About: k, Said: "what a client wrote is taken back: the numbers are counted"}}}
}

// counted tells whether a written status says something of what is counted here: a quota's status has nothing else.
func counted(status json.RawMessage) bool {
	var st struct{ Hard, Used json.RawMessage }
	return len(status) > 0 && json.Unmarshal(status, &st) == nil && len(st.Hard)+len(st.Used) > 0
}
