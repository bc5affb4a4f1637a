package replicaset

import (
	"encoding/json"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

// counts are the fields of a status that count pods.
var counts = []string{"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"}

// restate takes back what a client wrote of the numbers of pods: in Kubernetes the
// controller writes its own at once.
func (p *pass) restate() {
	said, mine := without(p.o.Status)
	over, _ := without(p.o.Over)
	if mine {
		p.d.Emit(reconcilers.WriteStatus(p.o, events.StatusWritten{Status: said, Over: over}))
	}
}

// without is a status without those fields, empty when nothing else is in it, and
// whether any of them was.
func without(raw json.RawMessage) (json.RawMessage, bool) {
	var all map[string]json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &all) != nil {
		return raw, false
	}
	had := len(all)
	for _, f := range counts {
		delete(all, f)
	}
	if len(all) == 0 {
		return nil, had > 0
	}
	return events.MustBody(all), len(all) < had
}
