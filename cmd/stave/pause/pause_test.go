package pause

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestTheFirstCycleEndsThePause: from then on the collector goes by its usual percentage, or by that of who set it.
func TestTheFirstCycleEndsThePause(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set, and decides alone")
	}
	percent := func() int {
		p := debug.SetGCPercent(starting)
		debug.SetGCPercent(p)
		return p
	}
	for end := time.Now().Add(time.Minute); percent() != usual; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still at %d %% a minute after a cycle", percent())
		}
		runtime.GC()
	}
}
