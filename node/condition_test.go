package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/stave-run/stave/events"
)

// told are the conditions in each saying of the node, in the order of the log.
func (c *cluster) told() []string {
	c.t.Helper()
	var out []string
	err := c.log.Read(context.Background(), 1, func(e events.Envelope) error {
		seen, err := events.Decode[events.Seen](e)
		if err != nil || seen.Node == nil {
			return err
		}
		s := ""
		for _, x := range seen.Node.Conditions {
			s += fmt.Sprint(x.Type, x.Status, " ")
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// TestConditionsAreTold: the log hears of a condition when it changes, and only then; one
// that nobody has judged anew holds over a restart.
func TestConditionsAreTold(t *testing.T) {
	c, m, _ := small(t)
	m.start()
	hears := func(last string, n int) {
		t.Helper()
		eventually(t, last, func() bool {
			told := c.told()
			return len(told) >= n && told[len(told)-1] == last
		})
		if told := c.told(); len(told) != n {
			t.Fatalf("told %q, want %d", told, n)
		}
	}
	hears("DiskPressurefalse ", 1)
	m.agent.Judge(events.NodeCondition{Type: "B", Status: true})
	hears("Btrue DiskPressurefalse ", 2)
	m.agent.Judge(events.NodeCondition{Type: "B", Status: true})
	m.agent.Judge(events.NodeCondition{Type: "A"})
	hears("Afalse Btrue DiskPressurefalse ", 3)
	m.kill()
	m.start()
	hears("Afalse Btrue DiskPressurefalse ", 3)
	m.agent.Judge(events.NodeCondition{Type: "B"})
	hears("Afalse Bfalse DiskPressurefalse ", 4)
}
