package sim

import (
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

func unpaused(spec map[string]any) { spec["suspend"] = false }

func sociable(spec map[string]any) { spec["concurrencyPolicy"] = "Allow" }

// oblivious keeps one Job less than it may.
func oblivious(spec map[string]any) { add(spec, "successfulJobsHistoryLimit", -1) }

// twice makes a second Job for each time.
func twice(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	for _, x := range d.Events {
		if x.Child != nil && !strings.HasSuffix(x.Child.Key.Name, "-again") {
			d.Events = append(d.Events, renamed(x.Child.Key, x.Child.Body, "-again"))
		}
	}
	return d
}
