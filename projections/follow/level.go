package follow

import (
	"slices"
	"sync"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// level is one snapshot, those who wait for it to rise, and those who listen.
type level struct {
	mu        sync.Mutex
	view      projections.State
	told      events.Seq    // every listener has heard of events up to here
	turned    chan struct{} // closed at the next rise; nil while nobody waits
	listeners []*Listener   // replaced, never changed, so that telling needs no lock
}

func (l *level) now() projections.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.view
}

// advance shows the snapshot first, then tells the listeners, then wakes those
// who wait: a listener that looks finds at least what it was told of.
func (l *level) advance(t tick) {
	l.mu.Lock()
	l.view = t.view
	listeners := l.listeners
	l.mu.Unlock()
	for _, tell := range listeners {
		(*tell)(t.view, t.event, t.changes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = t.event.Seq
	if l.turned != nil {
		close(l.turned)
		l.turned = nil
	}
}

// turn is nil when seq has been reached; else it is closed at the next rise.
func (l *level) turn(seq events.Seq) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq <= l.told {
		return nil
	}
	if l.turned == nil {
		l.turned = make(chan struct{})
	}
	return l.turned
}

func (l *level) listen(tell Listener) (stop func()) {
	mine := &tell
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners = append(slices.Clip(l.listeners), mine)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.listeners = slices.DeleteFunc(slices.Clone(l.listeners), func(x *Listener) bool { return x == mine })
	}
}
