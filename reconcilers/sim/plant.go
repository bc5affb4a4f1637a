package sim

import (
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Plant is a bug that is put in on purpose, to see that the judges find it. The
// zero Plant is none.
type Plant struct {
	Name  string
	Judge string // that has to find it

	apply     func(projections.State, events.Envelope) (projections.State, []projections.Change)
	swap      func(reconcilers.Reconciler) reconcilers.Reconciler
	miss      func(*replica, events.Envelope) bool // a replica folds an event without looking at it
	stale     bool                                 // a replica decides on an old view and says it is new
	forget    bool                                 // an agent that starts again sees no container
	lonely    bool                                 // an agent that hears nobody begins all that it has on disk
	deafNodes bool                                 // nodes do not see gaps in their feed
	half      bool                                 // who takes the lease does not go on with a change that another began
	script    func(uint64, int) []Action           // that shows it; nil: Script
	blind     bool                                 // wishes that land together do not see each other
	trusting  bool                                 // who asks together with others is told that it is done when nobody says so
	outdated  bool                                 // evictions go by what a budget said once
	heedless  bool                                 // who drains deletes
	rash      bool                                 // what others were asked about is made, though nobody wishes for it any more
	record    func(*events.Envelope)               // on its way to the log
}
