package hollow

import (
	"runtime"
	"sync"
)

// crew does the work of all nodes of the process, as much at a time as there are processors. Each node waits in a goroutine
// of its own, which thousands of nodes can afford as long as it only waits: what reads and plans needs a deep stack.
var crew = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for f := range work {
				f()
			}
		}()
	}
	return work
})

// crewed has f done by the crew, and waits until it is. f must not wait for the crew itself.
func crewed(f func()) {
	done := make(chan struct{})
	crew() <- func() { defer close(done); f() }
	<-done
}
