package sim

import (
	"runtime"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// What one decision may take here, where there are few of everything: whatever numbers people write. It takes microseconds and
// kilobytes, and the bounds are far above what a machine that is busy with others makes of that.
const (
	maxTime  = 200 * time.Millisecond
	maxBytes = 16 << 20
	// maxIdle is how often a key may be asked at one time on one view with nothing to do.
	maxIdle = 8
)

// pace watches one replica: what its decisions cost, and whether it spins.
type pace struct {
	began  time.Time
	bytes  uint64
	at     time.Time
	seq    events.Seq
	idle   map[idler]int // how often a key was asked for nothing, at this time and on this view
	sample [1]metrics.Sample
}

type idler struct {
	reconciler string
	key        events.Key
}

// allocated is what the process has allocated so far.
func (p *pace) allocated() uint64 {
	p.sample[0].Name = "/gc/heap/allocs:bytes"
	metrics.Read(p.sample[:])
	return p.sample[0].Value.Uint64()
}

func (p *pace) begin() { p.began, p.bytes = time.Now(), p.allocated() }

// over tells whether what began takes more than a decision may.
func (p *pace) over() bool { return time.Since(p.began) > maxTime || p.allocated()-p.bytes > maxBytes }

// paced is the next decision of a replica, which has to be cheap and to lead to something.
func (r *replica) paced(v reconcilers.View) (run.Work, bool) {
	r.pace.begin()
	w, ok := r.step.Next(v, r.time())
	if !ok {
		return w, false
	}
	if r.pace.over() {
		r.w.judge.costs(r, w, v)
	}
	r.w.judge.spins(r, w, v)
	return w, true
}

// costs: a decision is cheap. The machine has others to serve, so one that was not is made again, more than once: it is pure.
func (j *judge) costs(r *replica, w run.Work, v reconcilers.View) {
	c := r.named(w.Reconciler)
	for range 5 {
		r.pace.begin()
		c.Decide(v, w.Key, r.time())
		if !r.pace.over() {
			return
		}
	}
	j.w.fail("cost", "%s for %s takes more than %s or %d bytes", w.Reconciler, w.Key, maxTime, maxBytes)
}

// spins: who is asked either does something or waits for something. One that asks for another turn at once and has done nothing gets
// the same answer for ever, as it is pure; so does one that is asked again and again while nothing happens.
func (j *judge) spins(r *replica, w run.Work, v reconcilers.View) {
	if len(w.Records) > 0 || w.Refused != nil {
		return
	}
	now := r.time()
	if d := w.Decision; d.More || !d.WakeAt.IsZero() && !d.WakeAt.After(now) {
		j.w.fail("spin", "%s does nothing for %s and asks for another turn: more %v, at %s, and it is %s", w.Reconciler, w.Key, d.More, d.WakeAt, now)
	}
	p := &r.pace
	if p.idle == nil || !p.at.Equal(j.w.now) || p.seq != v.Seq {
		p.at, p.seq, p.idle = j.w.now, v.Seq, map[idler]int{}
	}
	at := idler{w.Reconciler, w.Key}
	if p.idle[at]++; p.idle[at] > maxIdle {
		j.w.fail("spin", "%s is asked %d times for %s, and nothing happens", w.Reconciler, p.idle[at], w.Key)
	}
}

// survives turns a panic into a finding: whatever people write, nobody dies of it.
func (w *World) survives(panicked any) {
	if panicked == nil {
		return
	}
	w.fail("panic", "%v in %s", panicked, culprit())
}

// culprit is the function of ours that a panic came from.
func culprit() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for f, more := frames.Next(); more; f, more = frames.Next() {
		if strings.Contains(f.Function, "/stave/") && !strings.Contains(f.Function, "/reconcilers/sim.") {
			return f.Function
		}
	}
	return "the simulation"
}
