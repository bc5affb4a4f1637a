// Package bus is the log as an interface, the wires beside it, and their named
// limits. bus/memory and bus/jetstream implement it; bus/bustest is the
// conformance suite that both pass.
package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
)

// Record is one event to append. The envelope's Seq and Time are given by the log.
type Record struct {
	Envelope events.Envelope
	// Expect is the last sequence that the writer knows of on exactly this
	// subject, 0 for "none yet". Nil expects nothing. A sequence that the janitor
	// has cut off counts as 0: the subject's newest event must be cut off too.
	Expect *events.Seq
}

// Expecting is a Record that is only stored when last is still the newest
// sequence of its subject.
func Expecting(e events.Envelope, last events.Seq) Record { return Record{Envelope: e, Expect: &last} }

// Appender adds events. Node agents get no more of the log than this.
type Appender interface {
	// Append stores the batch whole or not at all, in order and without a gap;
	// the sequence of batch[i] is the returned one + i. It returns as soon as
	// the order is known, before the events are durable: nothing may be told to
	// anybody outside the process until WaitDurable has returned for them.
	//
	// Errors: *ConflictError when an expectation does not hold, ErrDoubt when
	// the acknowledgement was lost (ask the fold's operation index before
	// deciding anything for that key again), ErrTooLarge, ErrFull.
	Append(ctx context.Context, batch []Record) (events.Seq, error)
}

// CheckBatch says whether a batch is within the limits that every log has.
func CheckBatch(batch []Record) error {
	if len(batch) > MaxBatch {
		return fmt.Errorf("append %d events, at most %d: %w", len(batch), MaxBatch, ErrTooLarge)
	}
	for _, r := range batch {
		if len(r.Envelope.Body) > MaxBody {
			return fmt.Errorf("append to %s: body of %d bytes, at most %d: %w", r.Envelope.Subject, len(r.Envelope.Body), MaxBody, ErrTooLarge)
		}
	}
	if len(batch) == 0 {
		return errors.New("append: the batch is empty")
	}
	return nil
}

// Log is the one order of all events.
type Log interface {
	Appender
	// Read calls f for every event from the sequence on, in order, up to the
	// last one that was there when Read began. From 0 and 1 both mean the start.
	// It fails with *HorizonError when from has been cut off, and with
	// *FutureError when from is more than one past the end.
	Read(ctx context.Context, from events.Seq, f func(events.Envelope) error) error
	// Follow is Read that goes on with what is appended later, until ctx ends
	// or f fails. It sees events before they are durable.
	Follow(ctx context.Context, from events.Seq, f func(events.Envelope) error) error
	// About lists the events that speak of an object (events.About), in order, of
	// all that are durable. It may name a few that do not.
	About(ctx context.Context, k events.Key) ([]events.Seq, error)
	// At calls f for single events, whose sequences are given in order. One that
	// is not there is passed over.
	At(ctx context.Context, seqs []events.Seq, f func(events.Envelope) error) error
	// Bounds are the first and last sequence there are; Last is First-1 when empty.
	Bounds(ctx context.Context) (Bounds, error)
	// Durable is the watermark: everything up to it survives a power cut.
	Durable() events.Seq
	// WaitDurable returns when the watermark has reached seq.
	WaitDurable(ctx context.Context, seq events.Seq) error
	// Close ends the log's goroutines; what was acknowledged is durable after it.
	Close() error
}

// Trimmer is a log that a janitor can cut.
type Trimmer interface {
	Log
	// Boundary is the newest sequence at which the log can be cut so that all
	// that happened since t stays; 0 when there is nothing to cut.
	Boundary(t time.Time) events.Seq
	// Cut drops every event before a Boundary. Whoever reads there afterwards
	// gets a *HorizonError. After a crash in the middle the log is whole, and
	// begins there or before.
	Cut(ctx context.Context, first events.Seq) error
}

// Bounds are the ends of a log.
type Bounds struct{ First, Last events.Seq }

// The limits of a log. Every implementation has the same ones.
const (
	// MaxBatch is the most events that one Append may hold (ADR-50 of NATS).
	MaxBatch = 1000
	// MaxChange is the most events that one change of a person may lead to. What is
	// more than MaxBatch lands in several appends, behind one that says all of it.
	MaxChange = 50_000
	// MaxBody is the most bytes that one event's body may have.
	MaxBody = 7 << 20
)

// Errors that a writer has to tell apart.
var (
	// ErrDoubt: the acknowledgement was lost; the append may have landed.
	ErrDoubt = errors.New("append unacknowledged")
	// ErrTooLarge: a body over MaxBody or a batch over MaxBatch.
	ErrTooLarge = errors.New("append too large")
	// ErrFull: there is no room left for new requests.
	ErrFull = errors.New("log is full")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log is closed")
)

// FullError says how much room is missing on the log's disk. It is an ErrFull.
type FullError struct {
	Dir        string
	Free, Need int64 // bytes
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("the disk of the log (%s) is nearly full: %d MiB are free, %d MiB are needed; make room there, by deleting pods or files, or keep less history (stave up --keep-history), and try again",
		e.Dir, e.Free>>20, e.Need>>20)
}

// Is makes it an ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// ConflictError says that somebody else wrote the subject first. Nothing of the
// batch was stored.
type ConflictError struct {
	Subject events.Subject
	Want    events.Seq // what was expected
	Have    events.Seq // what is there; 0 when the log did not say
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("append to %s: expected last sequence %d, have %d", e.Subject, e.Want, e.Have)
}

// HorizonError says that the asked sequence has been cut off.
type HorizonError struct{ Asked, First events.Seq }

// FutureError says that the log is shorter than the asked sequence: it was set
// back, or the asker saw what a power cut has taken since.
type FutureError struct{ Asked, Last events.Seq }

// Error implements error.
func (e *FutureError) Error() string {
	return fmt.Sprintf("read from %d: the log ends at %d", e.Asked, e.Last)
}

// Error implements error.
func (e *HorizonError) Error() string {
	return fmt.Sprintf("read from %d: the log begins at %d", e.Asked, e.First)
}
