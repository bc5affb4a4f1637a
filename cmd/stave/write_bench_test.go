package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stave-run/stave/gateway/wire"
)

// BenchmarkWrite creates ConfigMaps through the door as `stave create` does, each of which is durable when it is answered: one after the other, and by a thousand
// who ask at once. docs/benchmarks.sh sets the puts of an etcd beside it.
func BenchmarkWrite(b *testing.B) {
	c := scaledUp(b, b.TempDir(), 0)
	defer c.down()
	value := strings.Repeat("v", 300)
	var serial atomic.Int64
	create := func() error {
		n := serial.Add(1)
		object := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c%d","namespace":"default"},"data":{"value":%q}}`, n, value)
		results, err := c.s.change(context.Background(), wire.ChangeRequest{Operation: wire.Create, Brief: true, Items: []wire.Item{{Object: json.RawMessage(object)}}})
		if err != nil {
			return err
		}
		return refused(results[0].Error)
	}
	for _, load := range []struct{ writers, writes int }{{1, 2000}, {1000, 50000}} {
		b.Run("writers="+strconv.Itoa(load.writers), func(b *testing.B) {
			for b.Loop() {
				each, took := writes(b, load.writers, load.writes, create)
				b.ReportMetric(quantile(each, 0.5), "ms-p50")
				b.ReportMetric(float64(load.writes)/took.Seconds(), "writes/s")
			}
		})
	}
}

// writes calls create from so many at once, and tells how many milliseconds each call took, and how long all of them.
func writes(b *testing.B, writers, n int, create func() error) ([]float64, time.Duration) {
	b.Helper()
	each := make([]float64, n)
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range writers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				at := time.Now()
				if err := create(); err != nil {
					b.Error(err)
					return
				}
				each[i] = time.Since(at).Seconds() * 1000
			}
		})
	}
	all.Wait()
	return each, time.Since(began)
}
