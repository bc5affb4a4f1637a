// Package pause keeps the garbage collector away while the program starts. What the packages of this binary make when they
// are initialised is more than the collector's first threshold, and stays in use: to mark it once or twice was a fifth of the
// CPU of a call of the CLI. It imports next to nothing, so that it is initialised before those that make much.
package pause

import (
	"runtime"
	"runtime/debug"
)

// starting is the collector's percentage until its first cycle, which comes at 32 MB with it; usual is Go's.
const (
	starting = 800
	usual    = 100
)

// first is dropped at once: the first cycle finds it, and ends the pause.
type first struct{ _ [64]byte }

func init() {
	if before := debug.SetGCPercent(starting); before != usual {
		debug.SetGCPercent(before) // who sets GOGC decides alone
		return
	}
	runtime.AddCleanup(new(first), func(percent int) { debug.SetGCPercent(percent) }, usual)
}
