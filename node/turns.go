package node

import (
	"context"
	goruntime "runtime"
)

// turnsPerCPU is how many pods and containers a node makes or takes away at the same time, for each of its processors.
// More at once take longer in all, and containerd takes a shim that is slow to answer for dead.
const turnsPerCPU = 4

// turns bounds what goes on at the same time; who waits comes to its turn in order.
type turns chan struct{}

func newTurns() turns { return make(turns, turnsPerCPU*goruntime.NumCPU()) }

// take waits for a turn, which over ends.
func (t turns) take(ctx context.Context) (over func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
