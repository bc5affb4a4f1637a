// Command cmd plays one seed after the other until a judge finds something or
// somebody interrupts it: `just sim`.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers/sim"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "the first seed")
	flag.Uint64Var(&o.count, "n", 0, "how many seeds; 0 goes on for ever")
	flag.IntVar(&o.actions, "actions", 25, "how many actions a script has")
	from := flag.String("from", "", "begin every world with this log: a cluster's or an archive's directory, or a file of 'stave replay --into'")
	flag.StringVar(&o.script, "script", "script", "which people there are besides: storing, timing, sharing, growing or straining")
	flag.BoolVar(&o.trace, "trace", false, "print all that happens, of each seed")
	flag.Parse()
	if sim.Scripts()[o.script] == nil {
		fmt.Fprintf(os.Stderr, "error: there is no script %q: %s\n", o.script, strings.Join(slices.Sorted(maps.Keys(sim.Scripts())), ", "))
		os.Exit(2)
	}
	if *from != "" {
		var err error
		if o.log, err = logOf(*from); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(2)
		}
		fmt.Printf("every world begins with the %d events of %s\n", len(o.log), *from)
	}
	debug.SetGCPercent(400) // worlds are small and die soon
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !o.play(ctx) {
		stop()
		os.Exit(1)
	}
}

type options struct {
	seed, count uint64
	actions     int
	script      string
	trace       bool
	log         []events.Envelope // that every world begins with; nil: each makes its own cluster
}

// simulate plays a seed.
func (o options) simulate(seed uint64) sim.Result {
	script := sim.Scripts()[o.script](seed, o.actions)
	if o.log != nil {
		return sim.SimulateFrom(o.log, seed, script, o.trace)
	}
	return sim.Simulate(seed, script, sim.Plant{}, o.trace)
}

// tally counts what was played.
type tally struct {
	mu     sync.Mutex
	next   uint64
	played uint64
	events uint64
	found  *sim.Result
}

// play tells whether nothing was found.
func (o options) play(ctx context.Context) bool {
	began, t := time.Now(), &tally{next: o.seed}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			defer stop() // one who ends ends all: something was found, or all seeds are played
			for o.one(ctx, t) {
			}
		})
	}
	var told sync.WaitGroup
	told.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
				t.tell(began)
			}
		}
	})
	workers.Wait()
	told.Wait()
	t.tell(began)
	if t.found == nil {
		return true
	}
	fmt.Print(sim.Shrink(*t.found, sim.Plant{}, o.log).Format())
	again := fmt.Sprintf("again: go run ./reconcilers/sim/cmd -seed %d -n 1 -actions %d -script %s", t.found.Seed, o.actions, o.script)
	if o.log != nil {
		again += " -from " + flag.Lookup("from").Value.String()
	}
	fmt.Println(again)
	return false
}

// one plays the next seed; false when there is none, or something was found.
func (o options) one(ctx context.Context, t *tally) bool {
	t.mu.Lock()
	seed := t.next
	over := ctx.Err() != nil || t.found != nil || o.count > 0 && seed >= o.seed+o.count
	t.next++
	t.mu.Unlock()
	if over {
		return false
	}
	r := o.simulate(seed)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.played, t.events = t.played+1, t.events+uint64(r.Events)
	if o.trace {
		fmt.Print(r.Format())
	}
	if r.Failure != nil && t.found == nil {
		t.found = &r
	}
	return r.Failure == nil
}

func (t *tally) tell(began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Printf("%d seeds, %d events, %.1f seeds/s\n", t.played, t.events, float64(t.played)/time.Since(began).Seconds())
}
