// Package ledger keeps the books of a node with the control plane: how far it has read what it shall run, and how far what
// it told is in the log for good. The agent keeps them, and so do pretended nodes: both follow the same rules.
package ledger

import (
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Reading is how far a node has read its feed. Begin with Stale: nothing was read.
type Reading struct {
	// At is the position that the rows stand at, Epoch the lease under which it was told.
	At    events.Position
	Epoch events.Seq
	// Stale says that some change may be missing: the whole set is to be read.
	Stale bool
	// Told is the newest of the node's own facts that it has let go of, for they are durable: whoever does not know it would have
	// pods run again that are over.
	Told events.Seq

	refused time.Time // since when sets are refused
}

// Patience is for how long a set is refused that is of before what the node knows. It is that of a replica which lags behind, or which
// lost the lease and does not know. One that is still told then is of a log that people have set back.
const Patience = time.Minute

// Behind tells whether a set must not be acted on: it is of before what was read, or of before what the node told.
func (r *Reading) Behind(set projections.DesiredSet, now time.Time) bool {
	if set.Position >= r.At && set.Position.Seq() >= r.Told {
		return false
	}
	if r.refused.IsZero() {
		r.refused = now
	}
	return now.Before(r.refused.Add(Patience))
}

// Settled notes that the node's own facts are durable up to a sequence.
func (r *Reading) Settled(seq events.Seq) { r.Told = max(r.Told, seq) }

// Take reads a message, and tells whether its rows are news that may be applied.
func (r *Reading) Take(m projections.FeedMessage) bool {
	switch {
	case r.Stale: // the set that will be read holds it
		return false
	case m.Prev > r.At || m.Epoch != r.Epoch:
		r.Stale = true
		return false
	case m.Position <= r.At:
		return false
	}
	r.At = m.Position
	return true
}

// Beacon compares with where everything stands: a last message may have been lost, or another process may feed us now.
func (r *Reading) Beacon(b projections.Beacon, node string) {
	if b.Epoch != r.Epoch || b.Nodes[node] > r.At {
		r.Stale = true
	}
}

// Whole begins anew with a set that was read.
func (r *Reading) Whole(set projections.DesiredSet) {
	*r = Reading{At: set.Position, Epoch: set.Epoch, Told: min(r.Told, set.Position.Seq())}
}
