package node

import (
	"context"
	"fmt"
	"strconv"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
)

// labelCrashes is on each container: how many ends in a row came before its run, so that a back-off survives the agent.
const labelCrashes = "crashes"

// labelImage is on each container: its image as the pod named it, since the runtime keeps the full name.
const labelImage = "image"

// observe finds what runs already. Exits that nobody saw come by readExits too; both say the same.
func (a *Agent) observe(ctx context.Context) error {
	if err := a.o.Runtime.Adopt(ctx); err != nil {
		return fmt.Errorf("adopt containers: %w", err)
	}
	boxes, err := a.o.Runtime.ListSandboxes(ctx)
	if err != nil {
		return err
	}
	for _, s := range boxes {
		w, _ := a.worker(events.UID(s.UID), true)
		w.adoptSandbox(s)
	}
	containers, err := a.o.Runtime.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range containers {
		w, _ := a.worker(events.UID(c.PodUID), true)
		w.adoptContainer(c)
	}
	return nil
}

func (w *worker) adoptSandbox(s runtime.SandboxState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.obs.Remains = true
	w.obs.Sandbox = s.Ready && w.obs.IP != ""
	if !s.Ready {
		w.obs.Volumes, w.obs.Images = "", nil // a reboot took what lay in memory, and what was mounted
	}
}

func (w *worker) adoptContainer(c runtime.ContainerState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	crashes, _ := strconv.Atoi(c.Labels[labelCrashes])
	run := plan.Container{Name: c.Name, Run: c.Run + 1, ID: c.ID, Image: c.Labels[labelImage], StartedAt: c.StartedAt, Crashes: crashes, Bounds: boundsOf(c.Labels)}
	switch c.Status {
	case runtime.StatusRunning:
		run.Phase = plan.Running
	case runtime.StatusExited:
		run.Phase = plan.Exited
		if c.Exit != nil {
			run.Exit, run.Strain = exitOf(*c.Exit), strainOf(c.Exit.Strain)
		}
	default:
		run.Phase = plan.Created
	}
	w.obs = w.obs.Adopt(run)
	for _, e := range w.early {
		w.endLocked(e)
	}
}

func exitOf(e runtime.Exit) plan.Exit {
	return plan.Exit{Code: e.Code, Signal: e.Signal, OOM: e.Strain.Kills > 0, Lost: e.Lost, Starved: e.Strain.Starved, Machine: e.Strain.Machine, At: e.At}
}

// readExits hears how containers ended.
func (a *Agent) readExits(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-a.o.Runtime.Exits():
			if !ok {
				return
			}
			if w, known := a.worker(events.UID(e.PodUID), !a.isStarted()); known {
				w.ended(e)
			}
		}
	}
}

func (a *Agent) isStarted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.started
}

// ended observes the end of a run. While observe is at work it may be one that is not known yet.
func (w *worker) ended(e runtime.Exit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.endLocked(e) {
		w.early = append(w.early, e)
	}
	if e.Lost {
		w.obs.Sandbox = false // its shim may be gone too
	}
	w.changedLocked()
}

// endLocked says whether the run is known.
func (w *worker) endLocked(e runtime.Exit) bool {
	for _, c := range w.obs.Containers {
		if c.Name != e.Name || c.Run != e.Run+1 {
			continue
		}
		if c.Phase != plan.Exited {
			c.Phase, c.Exit, c.Strain = plan.Exited, exitOf(e), strainOf(e.Strain)
			w.obs = w.obs.Put(c)
		}
		return true
	}
	return false
}
