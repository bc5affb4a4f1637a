package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// uploadTime bounds how long a server waits for the parts of one request.
const uploadTime = time.Minute

// mailbox keeps messages until somebody takes them. It has no bound of its own:
// windows and size limits bound what is sent to it, and putting must not block.
type mailbox struct {
	mu      sync.Mutex
	waiting []*nats.Msg
	err     error
	filled  chan struct{} // holds one: there is something to see
}

func newMailbox() *mailbox { return &mailbox{filled: make(chan struct{}, 1)} }

// put adds a message, or the error after the last one.
func (b *mailbox) put(m *nats.Msg, err error) {
	b.mu.Lock()
	if err != nil {
		b.err = err
	} else {
		b.waiting = append(b.waiting, m)
	}
	b.mu.Unlock()
	select {
	case b.filled <- struct{}{}:
	default:
	}
}

func (b *mailbox) look() (*nats.Msg, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 {
		m := b.waiting[0]
		b.waiting = b.waiting[1:]
		return m, nil
	}
	return nil, b.err
}

// take waits for the next message. One reader at a time.
func (b *mailbox) take(ctx context.Context) (*nats.Msg, error) {
	for {
		if m, err := b.look(); m != nil || err != nil {
			return m, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.filled:
		}
	}
}
