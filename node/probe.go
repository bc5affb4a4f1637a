package node

import (
	"context"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// maxWords bounds what of a probe's words is told, in bytes.
const maxWords = 1024

// attend keeps the probes of a pod's runs going: of each that runs and shall go on, and of no other. One that is told to
// end is asked whether it is ready still, and nothing else. Only the worker's own goroutine calls it.
func (w *worker) attend(ctx context.Context, row *projections.DesiredPod, obs plan.Observed) {
	wanted := map[string]bool{}
	for _, c := range obs.Containers {
		if row == nil || c.Phase != plan.Running || c.Health.Kill != nil {
			continue
		}
		spec, key := containerOf(row, c.Name), c.ID
		if spec == nil || !plan.Probed(spec) {
			continue
		}
		if row.Stop {
			if spec.ReadinessProbe == nil || !c.Health.Ready {
				continue
			}
			key += " ends"
		}
		wanted[key] = true
		if w.probing[key] == nil {
			probing, stop := context.WithCancel(ctx)
			w.probing[key] = stop
			p := &prober{w: w, id: c.ID, spec: spec, started: c.StartedAt, health: c.Health, ends: row.Stop}
			w.a.working.Go(func() { p.run(probing) })
		}
	}
	for id, stop := range w.probing {
		if !wanted[id] {
			stop()
			delete(w.probing, id)
		}
	}
}

// containerOf is a container's spec, whatever its part in the pod; nil when there is none.
func containerOf(row *projections.DesiredPod, name string) *corev1.Container {
	return plan.Spec(&row.Pod.Spec, name)
}

// prober asks one run how it is.
type prober struct {
	w       *worker
	id      string
	spec    *corev1.Container
	started time.Time
	health  plan.Health // when it was begun
	ends    bool        // it was told to
}

// run probes until ctx ends. The startup probe holds the others back.
func (p *prober) run(ctx context.Context) {
	if p.spec.StartupProbe != nil && !p.health.Up {
		p.follow(ctx, plan.Startup, false)
	}
	var both sync.WaitGroup
	for _, role := range []plan.Role{plan.Readiness, plan.Liveness} {
		if p.ends && role == plan.Liveness {
			continue // it may take its time
		}
		if plan.ProbeOf(p.spec, role) != nil {
			both.Go(func() { p.follow(ctx, role, role == plan.Readiness && p.health.Ready) })
		}
	}
	both.Wait()
}

// follow probes for one role until ctx ends, or nothing more is to be learned.
func (p *prober) follow(ctx context.Context, role plan.Role, passed bool) {
	t := plan.NewTrack(p.spec, role, p.started, passed, p.w.a.now())
	for {
		wait(ctx, nil, t.Due, p.w.a.now())
		if ctx.Err() != nil {
			return
		}
		began := p.w.a.now()
		try, cancel := context.WithTimeout(ctx, t.Timeout())
		outcome := p.probe(try, &t.Probe.ProbeHandler, t.Timeout())
		cancel()
		if ctx.Err() != nil {
			return // what was cut short says nothing
		}
		outcome.Words = bounded(outcome.Words, maxWords)
		before := t
		if t = t.Note(outcome, began); t.Listens(before) {
			p.w.update(func(o plan.Observed) plan.Observed { return o.Heed(p.id, t) })
		}
		if role == plan.Startup && t.Passed {
			return
		}
	}
}

// probe makes one probe.
func (p *prober) probe(ctx context.Context, h *corev1.ProbeHandler, timeout time.Duration) plan.Outcome {
	_, obs, _ := p.w.state()
	switch {
	case h.Exec != nil:
		return p.exec(ctx, h.Exec.Command, timeout)
	case h.HTTPGet != nil:
		return probeHTTP(ctx, p.spec, h.HTTPGet, obs.IP, timeout)
	case h.TCPSocket != nil:
		return probeTCP(ctx, p.spec, h.TCPSocket, obs.IP)
	case h.GRPC != nil:
		return probeGRPC(ctx, h.GRPC, obs.IP, timeout)
	}
	return plan.Outcome{Errored: true, Words: "missing probe handler"}
}

func (p *prober) exec(ctx context.Context, command []string, timeout time.Duration) plan.Outcome {
	code, out, err := p.w.a.runIn(ctx, p.id, command)
	switch {
	case ctx.Err() != nil:
		return plan.Outcome{Words: "command timed out: \"" + strings.Join(command, " ") + "\" timed out after " + timeout.String()}
	case err != nil:
		return plan.Outcome{Errored: true, Words: err.Error()}
	}
	return plan.Outcome{OK: code == 0, Words: out}
}

// runIn runs a command in a container and gives the beginning of what it says. Who kept a pipe open is not waited for.
func (a *Agent) runIn(ctx context.Context, id string, command []string) (code int, out string, err error) {
	var said firstWords
	code, err = a.o.Runtime.Exec(ctx, id, runtime.ExecSpec{Command: command}, runtime.Streams{Stdout: &said, Stderr: &said})
	return code, said.String(), err
}

// firstWords keeps the beginning of what is written.
type firstWords struct {
	mu   sync.Mutex
	text []byte
}

// Write takes everything and keeps what there is room for.
func (f *firstWords) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = append(f.text, b[:min(len(b), maxWords-len(f.text))]...)
	return len(b), nil
}

// String is what was kept.
func (f *firstWords) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.ToValidUTF8(string(f.text), "")
}

func bounded(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
