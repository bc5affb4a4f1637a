package kube

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stave-run/stave/projections"
)

// The states of lists that nobody reads on cost no memory.
func TestPagesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pages
		v := projections.Empty()
		v.Seq = 7
		p.keep(page{view: v}, "default", "c")
		time.Sleep(keptFor - time.Second)
		if _, ok := p.get(7); !ok {
			t.Fatal("forgotten while it is read")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, ok := p.get(7); ok {
			t.Error("kept for ever")
		}
	})
}
