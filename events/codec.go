package events

import (
	"fmt"
	"strconv"
	"time"
)

// The names of the headers an envelope travels in. Bodies are JSON, so that
// any `nats sub` can read the log.
const (
	headerType       = "Stave-Type"
	headerVersion    = "Stave-Version"
	headerActor      = "Stave-Actor"
	headerCause      = "Stave-Cause"
	headerBasis      = "Stave-Basis"
	headerEpoch      = "Stave-Epoch"
	headerNow        = "Stave-Now"
	headerOp         = "Stave-Op"
	headerReconciler = "Stave-Reconciler"
	headerMessage    = "Stave-Message"
	headerChange     = "Stave-Change"
)

// Header is one line of an encoded envelope.
type Header struct{ Name, Value string }

// Headers encodes everything of an envelope but subject, sequence, time and
// body, which the log itself carries. Empty fields are left out.
func (e Envelope) Headers() []Header {
	out := make([]Header, 0, 11)
	add := func(name, value string) {
		if value != "" {
			out = append(out, Header{name, value})
		}
	}
	num := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(n, 10)
	}
	add(headerType, string(e.Type))
	add(headerVersion, num(uint64(e.Version)))
	add(headerActor, string(e.Actor))
	add(headerCause, num(uint64(e.Cause)))
	add(headerBasis, num(uint64(e.Basis)))
	add(headerEpoch, num(uint64(e.Epoch)))
	if !e.Now.IsZero() {
		add(headerNow, e.Now.UTC().Format(time.RFC3339Nano))
	}
	add(headerOp, string(e.Op))
	add(headerReconciler, e.Reconciler)
	if e.Message != "" {
		add(headerMessage, strconv.Quote(e.Message)) // a header holds one line
	}
	if e.Change != "" {
		add(headerChange, strconv.Quote(string(e.Change))) // a client chose it
	}
	return out
}

// FromHeaders fills the fields that Headers wrote. get returns "" for a header
// that is not there; unknown headers are not looked at.
func (e *Envelope) FromHeaders(get func(name string) string) error {
	var err error
	num := func(name string) uint64 {
		s := get(name)
		if s == "" || err != nil {
			return 0
		}
		n, bad := strconv.ParseUint(s, 10, 64)
		if bad != nil {
			err = fmt.Errorf("read header %s: %w", name, bad)
		}
		return n
	}
	e.Type, e.Actor, e.Op, e.Reconciler = Type(get(headerType)), Actor(get(headerActor)), OpID(get(headerOp)), get(headerReconciler)
	e.Version = int(num(headerVersion))
	e.Cause, e.Basis, e.Epoch = Seq(num(headerCause)), Seq(num(headerBasis)), Seq(num(headerEpoch))
	if s := get(headerNow); s != "" && err == nil {
		if e.Now, err = time.Parse(time.RFC3339Nano, s); err != nil {
			err = fmt.Errorf("read header %s: %w", headerNow, err)
		}
	}
	if s := get(headerMessage); s != "" && err == nil {
		if e.Message, err = strconv.Unquote(s); err != nil {
			err = fmt.Errorf("read header %s: %w", headerMessage, err)
		}
	}
	if s := get(headerChange); s != "" && err == nil {
		id, bad := strconv.Unquote(s)
		if e.Change = ChangeID(id); bad != nil {
			err = fmt.Errorf("read header %s: %w", headerChange, bad)
		}
	}
	return err
}
