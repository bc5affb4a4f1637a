package node

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stave-run/stave/projections"
)

// A pod that begins and ends comes by much to remember, and its record is written a few times only: each time before
// something happens that a restarted agent could not find out by looking.
func TestTheRecordIsAheadOfWhatCannotBeSeenAgain(t *testing.T) {
	c, m, d := small(t)
	m.start()
	uid := uidOf(podKey("job"))
	path := filepath.Join(m.agent.podDir(uid), recordFile)
	var mu sync.Mutex
	at := map[string]record{}
	d.fail(func(call string) error {
		var r record
		if err := readJSON(path, &r); err != nil && !os.IsNotExist(err) {
			t.Errorf("at %s: %v", call, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if _, ok := at[call]; !ok {
			at[call] = r
		}
		return nil
	})
	c.run(shell("job", "true", never))
	c.untilReady("job")
	var ready record
	eventually(t, "the record of a pod that is left alone knows it", func() bool {
		return readJSON(path, &ready) == nil && ready.Known["main"].Ready && ready.Known["main"].Run == 1
	})
	d.end(string(uid), 7)
	c.until("job", "ended", func(_ *projections.Pod, x projections.Container) bool { return x.Exit != nil })
	c.delete("job", 0)
	c.untilStopped("job")
	c.remove("job")
	eventually(t, "the pod is forgotten", func() bool { _, ok := m.agent.worker(uid, false); return !ok })
	mu.Lock()
	defer mu.Unlock()
	if r := at["sandbox"]; r.Row == nil || !r.Remains {
		t.Errorf("before the sandbox is made: %+v", r)
	}
	if r := at["start"]; r.IP == "" || r.Known["main"].Image != 1 {
		t.Errorf("before the container begins: %+v", r)
	}
	if k := at["remove"].Known["main"]; !k.Ended || k.Exit.Code != 7 {
		t.Errorf("before it is removed: %+v", k)
	}
}
