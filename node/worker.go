package node

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// opPause keeps an operation that fails again and again from burning the CPU.
const opPause = time.Second

// worker does the work of one pod, one operation after the other.
type worker struct {
	a   *Agent
	uid events.UID

	mu sync.Mutex
	// row is what the pod shall be, nil when the node shall not have it; known says that somebody told.
	row   *projections.DesiredPod
	known bool
	// last is the newest row that there was; nil while there was none.
	last *projections.DesiredPod
	// unsaved says that the record on disk is older than what is known. Only the worker's own goroutine writes records.
	unsaved bool
	obs     plan.Observed
	// interrupt ends the operation under way, when it waits for something that is no longer wanted.
	interrupt context.CancelFunc
	// changed is closed and replaced with every change of row and obs.
	changed chan struct{}
	gone    bool
	early   []runtime.Exit // heard of before the run itself

	// Both are the worker's own goroutine's, by container id: the probes under way, and the runs whose preStop hook was begun.
	probing map[string]context.CancelFunc
	hooked  map[string]bool
	// plain has the Secrets of the pod in the clear; it too is the worker's own goroutine's.
	plain map[string]projections.SecretData
	// tokens are the pod's, root what vouches for the API that they are for, and due when they are made anew; likewise.
	tokens map[projections.TokenFile][]byte
	root   string
	due    time.Time
	// asked are the keys of the pod's certificates that were asked for, by request, and keys those that have one; likewise.
	asked map[string]crypto.Signer
	keys  map[projections.CertPlace]projections.KeyPair
	// prepared is likewise, and of who makes the sandbox.
	prepared prepared
}

func newWorker(a *Agent, uid events.UID) *worker {
	return &worker{a: a, uid: uid, changed: make(chan struct{}), probing: map[string]context.CancelFunc{}, hooked: map[string]bool{},
		asked: map[string]crypto.Signer{}, keys: map[projections.CertPlace]projections.KeyPair{}}
}

func (w *worker) log() *slog.Logger { return w.a.log.With("pod", w.uid) }

func (w *worker) changedLocked() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// look lets the worker decide once more.
func (w *worker) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changedLocked()
}

// want gives the worker its row, nil for a pod that the node shall not have.
func (w *worker) want(row *projections.DesiredPod) {
	if row != nil {
		row = plan.WithAccess(row)
		if _, _, network := w.a.describe(); network != nil {
			network.Know(string(w.uid), &row.Pod)
		}
	}
	w.mu.Lock()
	if urgent(w.row, row) && w.interrupt != nil {
		w.interrupt()
	}
	if row != nil {
		w.last = row
	}
	w.obs = w.obs.Hear(row, w.a.now())
	w.row, w.known, w.unsaved = row, true, w.unsaved || row != nil
	w.changedLocked()
	w.mu.Unlock()
}

// urgent says that what is under way may be for a wish that is over.
func urgent(before, after *projections.DesiredPod) bool {
	if before == nil || after == nil {
		return (before == nil) != (after == nil)
	}
	return before.Stop != after.Stop || !before.Deadline.Equal(after.Deadline)
}

// state is a snapshot.
func (w *worker) state() (*projections.DesiredPod, plan.Observed, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.row, w.obs, w.changed
}

// update changes what is observed.
func (w *worker) update(edit func(plan.Observed) plan.Observed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.obs = edit(w.obs)
	w.changedLocked()
}

// loop decides and does until nothing is left of the pod, or ctx ends.
func (w *worker) loop(ctx context.Context) {
	for ctx.Err() == nil {
		row, obs, changed := w.state()
		if !w.wished() {
			wait(ctx, changed, time.Time{}, w.a.now())
			continue
		}
		if w.heldBack(row, obs) {
			w.save()
			wait(ctx, changed, w.a.now().Add(namePause), w.a.now())
			continue
		}
		w.attend(ctx, row, obs)
		obs.Evidence = w.a.journal.holds(w.uid)
		n, _, _ := w.a.describe()
		d := plan.Decide(row, obs, n, w.a.now())
		if len(d.Ops) == 0 {
			w.save()
			wait(ctx, changed, d.WakeAt, w.a.now())
			continue
		}
		if _, last := d.Ops[0].(plan.Forget); last {
			if w.forget() {
				return
			}
			continue
		}
		w.step(ctx, row, d.Ops[0])
	}
	w.save()
}

// wished says whether anybody told what the pod shall be.
func (w *worker) wished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known
}

// step does one operation, interrupted when the wish changes.
func (w *worker) step(ctx context.Context, row *projections.DesiredPod, op plan.Op) {
	opCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	if urgent(row, w.row) {
		w.mu.Unlock()
		return
	}
	w.interrupt = cancel
	w.mu.Unlock()
	w.log().Debug("do", "op", op)
	if !quiet(op) {
		w.save()
	}
	err := w.do(opCtx, row, op)
	w.mu.Lock()
	w.interrupt = nil
	w.mu.Unlock()
	if err != nil && opCtx.Err() == nil {
		w.log().Warn("operation failed", "op", fmt.Sprint(op), "error", err)
		wait(ctx, nil, w.a.now().Add(opPause), w.a.now())
	}
}

// quiet says of an operation that what a restarted agent would look for is there after it too, or that it saves the record
// itself.
func quiet(op plan.Op) bool {
	switch op.(type) {
	case plan.Report, plan.Pull, plan.MakeSandbox:
		return true
	}
	return false
}

// wait returns when something changed, at a time (zero: never), or when ctx ends.
func wait(ctx context.Context, changed <-chan struct{}, at, now time.Time) {
	var alarm <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(at.Sub(now))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-alarm:
	}
}
