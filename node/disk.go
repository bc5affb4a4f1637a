package node

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
)

// diskEvery is how often the node's file systems are looked at.
const diskEvery = 5 * time.Second

// DefaultPressureHold is the kubelet's: a disk that fills up again at once does not come and go.
const DefaultPressureHold = 5 * time.Minute

// disk is what the node knows of its pressure; it belongs to watchDisk.
type disk struct {
	said events.NodeCondition // what it judged last; the zero condition when it has not
	last time.Time            // when a threshold was met last
}

// openDisk takes the first look, so that the node comes with what it found.
func (a *Agent) openDisk(ctx context.Context) *disk {
	d := &disk{}
	for _, c := range a.toldConditions() {
		if c.Type == events.ConditionDisk {
			d.said, d.last = c, a.now() // of an earlier agent, which may have been under pressure
		}
	}
	a.lookAtDisk(ctx, d)
	return d
}

// watchDisk keeps the node's file systems from filling up: what nobody needs goes first, then pods, one at a time.
func (a *Agent) watchDisk(ctx context.Context, d *disk) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.lookAtDisk(ctx, d)
		}
	}
}

func (a *Agent) lookAtDisk(ctx context.Context, d *disk) {
	before := d.said
	scarce := plan.ScarceOf(a.o.Thresholds, a.free())
	if len(scarce) > 0 {
		a.collect(ctx)
		scarce = plan.ScarceOf(a.o.Thresholds, a.free())
	}
	switch {
	case len(scarce) > 0:
		d.last = a.now()
		// The figures are those of the beginning: each new one would be an event.
		if !d.said.Status {
			a.log.Warn("disk pressure", "what", scarce[0].String())
			d.said = plan.DiskCondition(scarce)
		}
	case d.said.Status && a.now().Sub(d.last) < a.o.PressureHold:
		// Freed a moment ago: what comes back at once must not come and go.
	default:
		d.said = plan.DiskCondition(nil)
	}
	if d.said != before {
		a.Judge(d.said)
	}
	if len(scarce) > 0 {
		a.relieve(ctx, scarce[0])
	}
}

// free is what each signal stands at; what cannot be looked at is left out.
func (a *Agent) free() map[plan.Signal]plan.Free {
	out := map[plan.Signal]plan.Free{}
	look := func(dir string, room, inodes plan.Signal) {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			a.log.Warn("look at disk", "dir", dir, "error", err)
			return
		}
		out[room] = plan.Free{Left: int64(s.Bavail) * s.Bsize, Of: int64(s.Blocks) * s.Bsize}
		out[inodes] = plan.Free{Left: int64(s.Ffree), Of: int64(s.Files)}
	}
	look(a.o.DataDir, plan.NodeAvailable, plan.NodeInodes)
	look(a.o.ImagesDir, plan.ImageAvailable, plan.ImageInodes)
	return out
}

// collect removes what no pod needs: the logs of those that are gone, and images.
func (a *Agent) collect(ctx context.Context) {
	left, err := a.leftLogs()
	errs := []error{err}
	for _, l := range left {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	var keep []string
	a.each(func(w *worker) {
		if row, obs, _ := w.state(); row != nil && !row.Stop && !obs.Told.Failed {
			for c := range plan.Containers(&row.Pod.Spec) {
				keep = append(keep, c.Image)
			}
			for _, v := range row.Pod.Spec.Volumes {
				if v.Image != nil {
					keep = append(keep, v.Image.Reference)
				}
			}
		}
	})
	gone, err := a.o.Runtime.Collect(ctx, keep)
	if err := errors.Join(append(errs, err)...); err != nil {
		a.log.Warn("collect what is not needed", "error", err)
	}
	if len(gone)+len(left) > 0 {
		a.log.Info("disk is short: collected what is not needed", "images", gone, "logsOf", len(left))
	}
}

// relieve evicts one pod, unless one is still being removed: what it gives back is not free yet.
func (a *Agent) relieve(ctx context.Context, s plan.Scarce) {
	var list []plan.Consumer
	going := false
	workers := map[events.UID]*worker{}
	a.each(func(w *worker) {
		row, obs, _ := w.state()
		switch {
		case row == nil || row.Stop:
		case obs.Told.Failed || obs.Outgrown != "":
			going = going || obs.Remains && obs.Cleanup.Failures == 0
		default:
			list = append(list, w.consumes(ctx))
			workers[w.uid] = w
		}
	})
	c, ok := plan.Victim(list)
	if going || !ok {
		return
	}
	message := plan.Starves(c, s)
	a.log.Warn("evict", "pod", c.UID, "message", message)
	workers[c.UID].update(func(o plan.Observed) plan.Observed { o.Outgrown = message; return o })
}

// consumes measures what a pod takes of the disk.
func (w *worker) consumes(ctx context.Context) plan.Consumer {
	row, obs, _ := w.state()
	c := plan.Consumer{UID: w.uid}
	if row == nil {
		return c
	}
	if p := row.Pod.Spec.Priority; p != nil {
		c.Priority = *p
	}
	for i := range row.Pod.Spec.Containers {
		c.Asked += row.Pod.Spec.Containers[i].Resources.Requests.StorageEphemeral().Value()
	}
	used := w.usage(ctx, row, obs)
	c.Used = used.Volumes
	for _, n := range used.Containers {
		c.Used += n
	}
	return c
}
