package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// A list comes in pieces, and all of them are of the moment of the first, whatever happens while they are read.
func TestListIsOfOneMoment(t *testing.T) {
	h := open(t)
	const n = 350
	var all []json.RawMessage
	for i := range n {
		all = append(all, configMap(fmt.Sprintf("c%03d", i), "1"))
	}
	h.change("1", wire.Apply, false, all...)
	read := wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default"}
	var whole wire.ReadReply
	h.ask("ann", wire.VerbRead, read, &whole)

	stream := h.list(read)
	defer stream.Close()
	pieces := []wire.ReadReply{piece(t, stream)}
	h.change("2", wire.Apply, false, configMap(fmt.Sprintf("c%03d", n-1), "2"))
	h.remove("3", "c000")
	for {
		p := piece(t, stream)
		if p.Now.IsZero() {
			break
		}
		pieces = append(pieces, p)
	}
	var objects []json.RawMessage
	for i, p := range pieces {
		if p.Position != whole.Position {
			t.Errorf("piece %d is of %s, the list of %s", i, p.Position, whole.Position)
		}
		objects = append(objects, p.Objects...)
	}
	if len(pieces) < 2 || len(pieces[0].Objects) >= n {
		t.Errorf("%d pieces, the first of %d objects", len(pieces), len(pieces[0].Objects))
	}
	if !slices.EqualFunc(objects, whole.Objects, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
		t.Errorf("%d objects in pieces, %d in one, or others", len(objects), len(whole.Objects))
	}
}

func TestListOfNothingAndOfNames(t *testing.T) {
	h := open(t)
	if p := piece(t, h.list(wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default", LabelSelector: "no=body"})); p.Position == 0 || p.Objects == nil || len(p.Objects) > 0 {
		t.Errorf("a list of nothing: %+v", p)
	}
	for _, bad := range []wire.ReadRequest{
		{Resource: events.ConfigMaps, Namespace: "default", Names: []string{"a"}},
		{Resource: "nothings", Namespace: "default"},
		{Resource: events.ConfigMaps, LabelSelector: "a=("},
	} {
		if f, err := h.list(bad).Recv(t.Context()); err != nil || f.Channel != wire.Failed {
			t.Errorf("%+v: %v %s", bad, err, f.Data)
		}
	}
}

func (h house) list(r wire.ReadRequest) bus.Stream {
	h.Helper()
	stream, err := h.wires.Dial(h.Context(), wire.Subject("ann", wire.VerbList), events.MustBody(r))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = stream.Close() })
	return stream
}

// piece is the next piece, the zero one at the end.
func piece(t *testing.T, s bus.Stream) (p wire.ReadReply) {
	t.Helper()
	f, err := s.Recv(t.Context())
	if errors.Is(err, io.EOF) {
		return p
	}
	if err != nil || f.Channel == wire.Failed {
		t.Fatalf("%v %s", err, f.Data)
	}
	if err := json.Unmarshal(f.Data, &p); err != nil {
		t.Fatal(err)
	}
	return p
}
