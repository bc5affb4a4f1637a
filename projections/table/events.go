package table

import (
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
)

// EventRow is one line of describe's Events, made from the log by package why.
type EventRow struct {
	Type    string // Normal, Warning
	Reason  string
	From    string
	Message string
	Count   int
	First   time.Time
	Last    time.Time
	Seq     events.Seq // of the event that it was told of last
	Place   int        // among what was told of the same event
}

// age is "5s", or "5s (x3 over 2m)" for what came more than once.
func (r EventRow) age(now time.Time) string {
	if r.Count > 1 {
		return fmt.Sprintf("%s (x%d over %s)", since(r.Last, now), r.Count, since(r.First, now))
	}
	return since(r.First, now)
}
