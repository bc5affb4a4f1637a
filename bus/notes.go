package bus

import (
	"context"
	"time"

	"github.com/stave-run/stave/events"
)

// Note is the newest that a client wrote under a subject. It is no fact of the
// cluster: nothing is decided from it, and what was there before it is forgotten.
type Note struct {
	Subject events.Subject
	Seq     events.Seq // in the order of all notes; the log's sequences are others
	Time    time.Time
	Body    []byte // empty: it was taken away
}

// Notes are a small stream beside the log. It keeps one note a subject, and who
// writes must know the last.
type Notes interface {
	// Put writes a note if last is the newest sequence of its subject (0: there is
	// none), and returns its sequence once it is durable. An empty body takes away
	// what was there. Errors: *ConflictError, ErrDoubt, ErrTooLarge, ErrFull, ErrClosed.
	Put(ctx context.Context, subject events.Subject, body []byte, last events.Seq) (events.Seq, error)
	// Forget removes a note that takes away, when nobody has to hear of it any more.
	Forget(ctx context.Context, seq events.Seq) error
	// Follow calls f for the note of each subject in the order in which they were
	// written, and then for each that comes, until ctx ends or f fails. It tells
	// what is durable only. Of several notes on one subject it may leave out all
	// but the newest.
	Follow(ctx context.Context, f func(Note) error) error
	// Last is the sequence of the newest note, 0 before the first. It never runs back.
	Last(ctx context.Context) (events.Seq, error)
}

// MaxNote is the most bytes that one note may have.
const MaxNote = 1 << 20
