package follow

import (
	"fmt"
	"sync"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// When a checkpoint is due. Writing one costs what the cluster's rows cost, so
// events alone do not say it: after one that took long, a longer rest follows.
const (
	// checkpointEvery is how many events a start may have to fold at most, when
	// they come slowly enough for the rests.
	checkpointEvery = 16_384
	// checkpointRest is the least time between two checkpoints.
	checkpointRest = 30 * time.Second
	// checkpointShare bounds the time that goes into checkpoints to one part in so many.
	checkpointShare = 50
)

// keeper leaves checkpoints of the durable snapshot behind.
type keeper struct {
	to   *Checkpoints
	say  func(string)
	stop func()
	due  chan struct{} // holds one: a checkpoint may be due
	done chan struct{}
	wait sync.WaitGroup

	saving sync.Mutex // held by whoever writes

	mu    sync.Mutex
	view  projections.State // the newest durable one
	last  events.Envelope   // the event at its end
	saved events.Seq        // of the newest checkpoint
}

func newKeeper(f *Follower, o Options, saved events.Seq) *keeper {
	k := &keeper{to: o.Checkpoints, say: o.Say, saved: saved, due: make(chan struct{}, 1), done: make(chan struct{})}
	k.stop = f.OnDurable(k.take)
	k.wait.Go(k.run)
	return k
}

func (k *keeper) take(v projections.State, e events.Envelope, _ []projections.Change) {
	k.mu.Lock()
	k.view, k.last = v, e
	k.mu.Unlock()
	k.ask()
}

// ask has a checkpoint written when one is due.
func (k *keeper) ask() {
	k.mu.Lock()
	due := k.view.Seq >= k.saved+checkpointEvery
	k.mu.Unlock()
	if !due {
		return
	}
	select {
	case k.due <- struct{}{}:
	default: // it has been asked for
	}
}

func (k *keeper) run() {
	for {
		select {
		case <-k.done:
			return
		case <-k.due:
		}
		began := time.Now()
		k.save()
		select {
		case <-k.done:
			return
		case <-time.After(max(checkpointRest, checkpointShare*time.Since(began))):
		}
		k.ask() // for what came meanwhile
	}
}

// save writes a checkpoint of the newest durable view, if it is not kept yet,
// and tells where the newest one stands.
func (k *keeper) save() events.Seq {
	k.saving.Lock()
	defer k.saving.Unlock()
	k.mu.Lock()
	v, last, saved := k.view, k.last, k.saved
	k.mu.Unlock()
	if v.Seq <= saved {
		return saved
	}
	if err := k.to.Save(v, last); err != nil {
		k.say(fmt.Sprintf("no checkpoint of %d: %v", v.Seq, err)) // the log has it all
		return saved
	}
	k.mu.Lock()
	k.saved = v.Seq
	k.mu.Unlock()
	return v.Seq
}

// close leaves a last checkpoint; nothing is folded any more.
func (k *keeper) close() {
	k.stop()
	close(k.done)
	k.wait.Wait()
	k.save()
}
