package memory

import (
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/bustest"
)

func TestLog(t *testing.T) {
	bustest.Log(t, func(t *testing.T) bustest.LogUnderTest {
		l := NewLog(time.Now)
		t.Cleanup(func() { _ = l.Close() })
		return bustest.LogUnderTest{Log: l, Cut: l.Cut}
	})
}

func TestWires(t *testing.T) {
	bustest.Wires(t, func(*testing.T) bustest.WiresUnderTest {
		w := NewWires()
		return bustest.WiresUnderTest{Server: w, Client: w, User: "admin", Sever: w.Sever}
	})
}

func TestNotes(t *testing.T) {
	bustest.Notes(t, func(*testing.T) bus.Notes { return NewNotes(time.Now) })
}
