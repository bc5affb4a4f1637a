package plan

import (
	"fmt"
	"strings"
)

// Write is one change of the kernel's tables ([SetBackends], [Bind], [Unbind]) or what
// follows from one ([Shed]). Writes are made in the order in which they were returned.
type Write interface {
	fmt.Stringer
	write()
}

// SetBackends stores the backends into slots Base, Base+1, … and then points entry
// ID at them with one store. The slots are not in use when it runs.
type SetBackends struct {
	ID              uint32
	Base            uint32
	Backends        []Backend // empty: connections are refused
	AffinitySeconds uint32
}

// Bind makes a frontend lead to an entry, whether or not it led to another before. New ones
// that follow each other, but for [SetBackends] between them, may be bound together at the
// end: until then they are ordinary addresses.
type Bind struct {
	Frontend Frontend
	ID       uint32
	New      bool // it led to no other
}

// Unbind makes a frontend an ordinary address again.
type Unbind struct {
	Frontend Frontend
}

// Shed closes the connected UDP sockets that this frontend gave a backend which it no
// longer has. It comes after the writes that took the backend away.
type Shed struct {
	Frontend Frontend
}

func (SetBackends) write() {}
func (Bind) write()        {}
func (Unbind) write()      {}
func (Shed) write()        {}

// String prints "set #3 = 10.1.0.2:80 10.1.0.3:80 at 16".
func (w SetBackends) String() string {
	if len(w.Backends) == 0 {
		return fmt.Sprintf("set #%d = refuse", w.ID)
	}
	names := make([]string, len(w.Backends))
	for i, b := range w.Backends {
		names[i] = b.String()
	}
	s := fmt.Sprintf("set #%d = %s at %d", w.ID, strings.Join(names, " "), w.Base)
	if w.AffinitySeconds > 0 {
		s += fmt.Sprintf(" sticky %ds", w.AffinitySeconds)
	}
	return s
}

// String prints "bind 10.96.0.1:80/TCP to #3".
func (w Bind) String() string { return fmt.Sprintf("bind %s to #%d", w.Frontend, w.ID) }

// String prints "unbind 10.96.0.1:80/TCP".
func (w Unbind) String() string { return "unbind " + w.Frontend.String() }

// String prints "shed sockets of 10.96.0.1:53/UDP".
func (w Shed) String() string { return "shed sockets of " + w.Frontend.String() }
