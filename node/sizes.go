package node

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/volume"
	"github.com/stave-run/stave/projections"
)

// sizeEvery is how often it is measured what pods take of the disk that have a bound: the file system does not hold them
// to it.
const sizeEvery = 10 * time.Second

// watchSizes finds the pods that have outgrown their bounds, or which met a limit that nobody spoke of.
func (a *Agent) watchSizes(ctx context.Context) {
	tick := time.NewTicker(sizeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.each(func(w *worker) { w.measure(ctx) })
			a.each((*worker).lookForStrain)
		}
	}
}

func (w *worker) measure(ctx context.Context) {
	row, obs, _ := w.state()
	if row == nil || row.Stop || obs.Told.Failed || obs.Outgrown != "" {
		return
	}
	said := w.outgrownVolume(row)
	if said == "" && plan.LimitsStorage(&row.Pod.Spec) {
		said = plan.Overstored(&row.Pod.Spec, w.usage(ctx, row, obs))
	}
	if said != "" {
		w.update(func(o plan.Observed) plan.Observed { o.Outgrown = said; return o })
	}
}

// outgrownVolume says which volume holds more than it may.
func (w *worker) outgrownVolume(row *projections.DesiredPod) string {
	for _, v := range row.Pod.Spec.Volumes {
		limit, ok := plan.DiskLimit(v)
		if !ok {
			continue
		}
		used, err := volume.Usage(w.a.volumeDir(w.uid, v.Name))
		if err != nil {
			w.log().Debug("measure volume", "volume", v.Name, "error", err)
			continue
		}
		if used > limit.Value() {
			return plan.Outgrown(v.Name, limit)
		}
	}
	return ""
}

// usage measures what a pod takes of the disk. What cannot be measured now counts for nothing: it is gone, or is measured
// the next time.
func (w *worker) usage(ctx context.Context, row *projections.DesiredPod, obs plan.Observed) plan.Usage {
	known := func(n int64, err error) int64 {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.log().Debug("measure pod", "error", err)
		}
		return n
	}
	u := plan.Usage{Volumes: known(volume.Usage(filepath.Join(w.a.podDir(w.uid), "volumes"))), Containers: map[string]int64{}}
	for _, x := range obs.Containers {
		u.Containers[x.Name] += known(w.a.o.Runtime.DiskUsage(ctx, x.ID))
	}
	for name := range u.Containers {
		u.Containers[name] += known(volume.Usage(filepath.Dir(w.a.logPath(row, name, 1))))
	}
	return u
}
