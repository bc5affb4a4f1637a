package ledger

import "github.com/stave-run/stave/events"

// Flights are the flushes that the log has acknowledged but not yet said to be durable.
type Flights struct {
	Sent  uint64     // the last piece appended
	Done  uint64     // the last piece that is durable
	Epoch events.Seq // the lease that was last heard of; 0 is none
	wait  []Flight
}

// Flight is one flush: its last piece, and where it stands in the log.
type Flight struct {
	Last uint64
	Seq  events.Seq
}

// Landed notes where a flush stands, unless another writer took the log meanwhile: then all is said again.
func (f *Flights) Landed(last uint64, seq, epoch events.Seq) bool {
	if f.Epoch != epoch {
		return false
	}
	f.Sent = last
	f.wait = append(f.wait, Flight{Last: last, Seq: seq})
	return true
}

// Resume takes over what was sent before a restart.
func (f *Flights) Resume(epoch events.Seq, wait []Flight) {
	if len(wait) > 0 {
		f.Epoch, f.wait, f.Sent = epoch, wait, wait[len(wait)-1].Last
	}
}

// Hear says how far the log is durable under a lease, and returns the last piece that is. A new epoch may have begun with
// a log that lost its tail: what was not durable before it is said again.
func (f *Flights) Hear(epoch, durable events.Seq) (done uint64) {
	if epoch != f.Epoch {
		if f.Epoch != 0 {
			f.Sent, f.wait = f.Done, nil
		}
		f.Epoch = epoch
	}
	for len(f.wait) > 0 && f.wait[0].Seq <= durable {
		f.Done = f.wait[0].Last
		f.wait = f.wait[1:]
	}
	return f.Done
}
