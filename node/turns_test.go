package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stave-run/stave/node/runtime"
)

// busy is a runtime that takes its time, and counts how much it is asked to do at once.
type busy struct {
	*double
	now, most atomic.Int64
}

func (b *busy) work() {
	n := b.now.Add(1)
	for seen := b.most.Load(); n > seen && !b.most.CompareAndSwap(seen, n); seen = b.most.Load() {
	}
	time.Sleep(20 * time.Millisecond)
	b.now.Add(-1)
}

func (b *busy) EnsureSandbox(ctx context.Context, s runtime.SandboxSpec) (runtime.Sandbox, error) {
	b.work()
	return b.double.EnsureSandbox(ctx, s)
}

func (b *busy) Create(ctx context.Context, c runtime.ContainerSpec) (string, error) {
	b.work()
	return b.double.Create(ctx, c)
}

// However many pods a node is given at once, it makes a few at a time, and all in the end.
func TestManyPodsTakeTurns(t *testing.T) {
	c, b := newCluster(t), &busy{double: newDouble()}
	m := newMachine(t, c, func() (Runtime, func()) { return b, func() {} })
	m.options.StateDir = t.TempDir()
	m.start()
	const pods = 60
	for i := range pods {
		c.run(shell(fmt.Sprint("p", i), "true"))
	}
	for i := range pods {
		c.untilReady(fmt.Sprint("p", i))
	}
	if most, bound := int(b.most.Load()), cap(newTurns()); most > bound || most < 2 {
		t.Errorf("%d at once, the bound is %d", most, bound)
	}
}
