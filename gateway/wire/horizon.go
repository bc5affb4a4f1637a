package wire

import (
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
)

// Horizon is where history begins, in answers that might have told of more.
type Horizon struct {
	First events.Seq `json:"first"` // the first event that there is
	Time  time.Time  `json:"time"`  // when it came
	// Lost says why less is known than a horizon leaves; empty when it is not so.
	Lost string `json:"lost,omitempty"`
}

// String is a line for people.
func (h Horizon) String() string {
	s := fmt.Sprintf("history begins at %d (%s): what came before is not told", h.First, h.Time.UTC().Format(time.RFC3339))
	if h.Lost != "" {
		s += "; " + h.Lost
	}
	return s
}
