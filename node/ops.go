package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/node/logfile"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// Bounds of operations that are not interrupted half-way: nobody gains by a container that is made by half.
const (
	makePatience = 2 * time.Minute
	// endPatience is how long the news of an end may take after the container was stopped.
	endPatience = 10 * time.Second
)

// do does one operation. An error is what the plan does not know of: it is tried again after opPause.
func (w *worker) do(ctx context.Context, row *projections.DesiredPod, op plan.Op) error {
	switch op := op.(type) {
	case plan.Pull:
		return w.pull(ctx, row, op)
	case plan.MakeSandbox:
		return w.inTurn(ctx, func(whole context.Context) error { return w.makeSandbox(whole, row) })
	case plan.WriteVolumes:
		_, obs, _ := w.state()
		return w.writeVolumes(ctx, row, obs, op)
	case plan.AskCertificate:
		return w.askCertificate(ctx, row, op.Place)
	case plan.TakeCertificate:
		w.takeCertificate(row, op)
		return nil
	case plan.Start:
		return w.start(ctx, row, op)
	case plan.Resize:
		return w.resize(ctx, row, op)
	case plan.Stop:
		return w.stop(ctx, row, op)
	case plan.Remove:
		return w.inTurn(ctx, func(whole context.Context) error { return w.remove(whole, row, op) })
	case plan.Clean:
		return w.inTurn(ctx, w.clean)
	case plan.Report:
		return w.tell(ctx, row, w.withTails(row, op.Facts)...)
	}
	return fmt.Errorf("unknown operation %s", op)
}

// inTurn does what loads the machine and is not interrupted half-way; ctx ends only the waiting for its turn.
func (w *worker) inTurn(ctx context.Context, do func(whole context.Context) error) error {
	over, err := w.a.turns.take(ctx)
	if err != nil {
		return err
	}
	defer over()
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), makePatience)
	defer cancel()
	return do(whole)
}

// tell puts facts into the journal and remembers that they were told, in this order: a fact may be told twice, never not
// at all.
func (w *worker) tell(ctx context.Context, row *projections.DesiredPod, facts ...events.Fact) error {
	seen := events.PodSeen{Namespace: row.Pod.Namespace, Name: row.Pod.Name, UID: row.UID, Assigned: row.Assigned, Facts: facts}
	if err := w.a.journal.add(ctx, piece{Piece: ledger.Piece{Pod: &seen}}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	w.update(func(o plan.Observed) plan.Observed { return o.Tell(facts) })
	w.stale()
	return nil
}

// withTails adds what those said that ended, and the last words of those that failed.
func (w *worker) withTails(row *projections.DesiredPod, facts []events.Fact) []events.Fact {
	for i, f := range facts {
		if f.Kind != events.FactExited {
			continue
		}
		if f.Message == "" {
			facts[i].Message = w.a.message(row, f)
		}
		if f.Code != 0 {
			facts[i].Tail = lastWords(w.a.logPath(row, f.Container, f.Run), tailLines, events.MaxTail)
		}
	}
	return facts
}

func (a *Agent) logPath(row *projections.DesiredPod, container string, run int) string {
	return logfile.Path(a.logsDir(), row.Pod.Namespace, row.Pod.Name, string(row.UID), container, run-1)
}

func (w *worker) retryContainer(name, reason, message string) {
	w.update(func(o plan.Observed) plan.Observed {
		return o.Remember(name, func(k *plan.Known) { k.Retry = k.Retry.Failed(w.a.now(), reason, message) })
	})
	w.stale()
}

func (w *worker) makeSandbox(ctx context.Context, row *projections.DesiredPod) error {
	w.update(func(o plan.Observed) plan.Observed { o.Remains = true; return o })
	w.stale()
	w.save() // before anything is made: what is left after a crash is known to be there
	ip, err := w.attach(ctx, row)
	if err == nil {
		err = w.writeEtc(row, ip)
	}
	if err != nil {
		if err := w.unprepare(ctx, nil, ""); err != nil {
			w.log().Warn("remove what was made ahead", "error", err)
		}
		w.log().Warn("make sandbox", "error", err)
		w.update(func(o plan.Observed) plan.Observed {
			o.Setup = o.Setup.Failed(w.a.now(), "ContainerCreating", "failed to create pod sandbox: "+err.Error())
			return o
		})
		return nil
	}
	n, _, _ := w.a.describe()
	if _, obs, _ := w.state(); obs.IP != ip {
		if err := w.tell(ctx, row, events.Fact{Kind: events.FactSandbox, At: w.a.now(), IP: ip, HostIP: n.IP}); err != nil {
			return err
		}
	}
	w.update(func(o plan.Observed) plan.Observed {
		o.Sandbox, o.IP, o.Setup = true, ip, plan.Retry{}
		return o
	})
	w.stale()
	return nil
}

// attach makes the sandbox and wires it, and gives the pod's address.
func (w *worker) attach(ctx context.Context, row *projections.DesiredPod) (ip string, err error) {
	spec := row.Pod.Spec
	n, _, _ := w.a.describe()
	if err := plan.HostnameError(&row.Pod, n); err != nil {
		return "", err
	}
	_, err = w.a.o.Runtime.EnsureSandbox(ctx, runtime.SandboxSpec{
		UID: string(row.UID), Namespace: row.Pod.Namespace, Name: row.Pod.Name, Hostname: plan.Hostname(&row.Pod, n),
		HostNetwork: spec.HostNetwork, HostIPC: spec.HostIPC, HostPID: spec.HostPID,
		SharePID: isTrue(spec.ShareProcessNamespace),
		Beside: func(ctx context.Context, box runtime.Sandbox) (err error) {
			if box.Created {
				w.update(plan.Observed.Afresh)
			}
			if ip, err = w.address(ctx, row, n); err != nil {
				return err
			}
			var making sync.WaitGroup
			making.Go(func() { w.ahead(ctx, row, ip) })
			defer making.Wait()
			if !spec.HostNetwork {
				err = w.wire(ctx, row, box.NetNSPath)
			}
			return err
		},
	})
	return ip, err
}

// address is where the pod will be found: known before it is wired, so that its container can be made meanwhile.
func (w *worker) address(ctx context.Context, row *projections.DesiredPod, n plan.Node) (string, error) {
	if row.Pod.Spec.HostNetwork {
		return n.IP, nil
	}
	_, _, network := w.a.describe()
	addr, err := network.Reserve(ctx, string(row.UID))
	if err != nil {
		return "", fmt.Errorf("reserve address: %w", err)
	}
	return addr.String(), nil
}

// wire gives the pod its link with its address.
func (w *worker) wire(ctx context.Context, row *projections.DesiredPod, netNSPath string) error {
	_, _, network := w.a.describe()
	network.Know(string(row.UID), &row.Pod)
	addr, err := network.Attach(ctx, string(row.UID), netNSPath)
	if err != nil {
		return fmt.Errorf("attach network: %w", err)
	}
	if err := network.Publish(ctx, string(row.UID), plan.HostPorts(&row.Pod, addr)); err != nil {
		return fmt.Errorf("publish ports: %w", err)
	}
	return nil
}

// start begins a run, and waits for its postStart hook as long as ctx lets it.
func (w *worker) start(ctx context.Context, row *projections.DesiredPod, op plan.Start) error {
	var run plan.Container
	err := w.inTurn(ctx, func(whole context.Context) (err error) {
		run, err = w.begin(whole, row, op)
		return err
	})
	if err != nil || run.Phase != plan.Created {
		return err
	}
	run.Health.Kill = w.postStart(ctx, row, run)
	w.update(func(o plan.Observed) plan.Observed {
		if c, _ := o.Newest(op.Container); c.Phase == plan.Created {
			run.Phase = plan.Running // unless its end was heard of before
			o = o.Put(run)
		}
		return o
	})
	return nil
}

// begin makes a container and starts it. One that was not made, or not started, is left to the plan: then the run is not
// in phase Created.
func (w *worker) begin(ctx context.Context, row *projections.DesiredPod, op plan.Start) (plan.Container, error) {
	_, obs, _ := w.state()
	if err := w.unprepare(ctx, row, op.Container); err != nil {
		return plan.Container{}, err
	}
	plain, err := w.opened(ctx, row)
	var spec runtime.ContainerSpec
	if err == nil {
		spec, err = w.a.containerSpec(plain, op, obs.IP)
		target, _ := obs.Newest(plan.Target(&row.Pod.Spec, op.Container))
		spec.ProcessesOf = target.ID
	}
	if err != nil {
		w.retryContainer(op.Container, plan.CreateContainerConfigError, err.Error())
		return plan.Container{}, nil
	}
	id, err := w.a.o.Runtime.Create(ctx, spec)
	if err != nil {
		w.createFailed(op, err)
		return plan.Container{}, nil
	}
	run := plan.Container{Name: op.Container, Run: op.Run, ID: id, Image: op.Image, Phase: plan.Created, StartedAt: w.a.now(), Crashes: op.Crashes, Bounds: boundsOf(spec.Labels)}
	w.update(func(o plan.Observed) plan.Observed { return o.Put(run) })
	_, err = w.a.o.Runtime.Start(ctx, id)
	if herr := w.a.handedOver(w.uid, op.Container); herr != nil {
		w.log().Warn("let go of mounts", "container", op.Container, "error", herr) // the pod's end tries again
	}
	if err != nil {
		run.Phase, run.Exit = plan.Exited, plan.Exit{Code: runtime.StartErrorCode, Message: err.Error(), At: w.a.now(), NotStarted: true}
		w.update(func(o plan.Observed) plan.Observed { return o.Put(run) })
		return run, w.a.o.Runtime.Remove(ctx, id)
	}
	return run, nil
}

func (w *worker) createFailed(op plan.Start, err error) {
	reason, message := runtime.CreateFailed, err.Error()
	var creating *runtime.CreateError
	if errors.As(err, &creating) {
		reason, message = creating.Reason, creating.Err.Error()
	}
	w.retryContainer(op.Container, reason, message)
	w.update(func(o plan.Observed) plan.Observed {
		if reason == runtime.CreateImageMissing {
			return o.Remember(op.Container, func(k *plan.Known) { k.Image = 0 })
		}
		o.Sandbox = o.Sandbox && reason != runtime.CreateFailed // asked again: the shim may be gone
		return o
	})
}

// stop ends all runs at the same time and waits until their ends are known.
func (w *worker) stop(ctx context.Context, row *projections.DesiredPod, op plan.Stop) error {
	errs := make([]error, len(op.Runs))
	withdrawn := w.withdrawn(ctx, row, op.Grace)
	var stopping sync.WaitGroup
	for i, c := range op.Runs {
		stopping.Go(func() { errs[i] = w.end(ctx, row, c, op.Grace, withdrawn) })
	}
	over := make(chan struct{})
	go func() { stopping.Wait(); close(over) }()
	w.tellMeanwhile(ctx, row, over)
	for _, c := range op.Runs {
		w.hooked[c.ID] = true // one that was cut short is not begun again
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	for ctx.Err() == nil {
		_, obs, changed := w.state()
		if !runs(obs, op.Runs) {
			return nil
		}
		wait(ctx, changed, time.Time{}, time.Time{})
	}
	return ctx.Err()
}

// tellMeanwhile tells what comes to be known of a pod while it is being stopped, which may take as long as its grace: its probes
// go on, and services shall hear of it.
func (w *worker) tellMeanwhile(ctx context.Context, row *projections.DesiredPod, over <-chan struct{}) {
	for {
		_, obs, changed := w.state()
		n, _, _ := w.a.describe()
		for _, op := range plan.Decide(row, obs, n, w.a.now()).Ops {
			news, ok := op.(plan.Report)
			if !ok {
				break
			}
			if err := w.do(ctx, row, news); err != nil && ctx.Err() == nil {
				w.log().Warn("operation failed", "op", fmt.Sprint(op), "error", err)
			}
		}
		select {
		case <-over:
			return
		case <-changed:
		}
	}
}

func runs(o plan.Observed, of []plan.Container) bool {
	for _, c := range of {
		for _, x := range o.Containers {
			if x.ID == c.ID && x.Phase == plan.Running {
				return true
			}
		}
	}
	return false
}

// remove removes an old run; of its log, that of the run before goes: one is kept for `logs --previous`.
func (w *worker) remove(ctx context.Context, row *projections.DesiredPod, op plan.Remove) error {
	if err := w.a.o.Runtime.Remove(ctx, op.ID); err != nil {
		return err
	}
	if err := os.RemoveAll(w.a.messagePath(row, op.Container, op.Run)); err != nil {
		return fmt.Errorf("remove termination message: %w", err)
	}
	delete(w.hooked, op.ID)
	w.update(func(o plan.Observed) plan.Observed { return o.Drop(op.Container, op.Run) })
	path := w.a.logPath(row, op.Container, op.Run-1)
	if op.Run == 1 {
		return nil
	}
	for i := range logfile.MaxFiles {
		name := path
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove log: %w", err)
		}
	}
	return nil
}

// clean removes everything of the pod but its logs and what is known of it.
func (w *worker) clean(ctx context.Context) error {
	_, _, network := w.a.describe()
	err := w.a.o.Runtime.RemoveSandbox(ctx, string(w.uid))
	if err == nil && network != nil {
		err = network.Detach(ctx, string(w.uid))
	}
	if err == nil {
		err = w.a.removeFiles(w.uid)
	}
	if err != nil {
		w.log().Warn("remove pod", "error", err)
		w.update(func(o plan.Observed) plan.Observed {
			o.Cleanup = o.Cleanup.Failed(w.a.now(), "", err.Error())
			return o
		})
		return nil
	}
	w.update(func(o plan.Observed) plan.Observed { return o.Cleaned() })
	w.stale()
	return nil
}

// forget ends the worker, unless the pod was wished for again in this very moment.
func (w *worker) forget() bool {
	w.mu.Lock()
	if w.row != nil {
		w.mu.Unlock()
		return false
	}
	w.gone = true
	w.changedLocked()
	w.mu.Unlock()
	w.a.dropWorker(w.uid)
	if err := w.a.removeRecord(w.uid); err != nil {
		w.log().Error("forget pod", "error", err)
	}
	return true
}
