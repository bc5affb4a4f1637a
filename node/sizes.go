package node

import (
	"context"
	"time"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/volume"
)

// sizeEvery is how often volumes on disk that have a bound are measured: the file system does not hold them to it.
const sizeEvery = 10 * time.Second

// watchSizes finds the pods whose volumes have outgrown their bounds, or which met a limit that nobody spoke of.
func (a *Agent) watchSizes(ctx context.Context) {
	tick := time.NewTicker(sizeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.each((*worker).measure)
			a.each((*worker).lookForStrain)
		}
	}
}

func (w *worker) measure() {
	row, obs, _ := w.state()
	if row == nil || row.Stop || obs.Told.Failed || obs.Outgrown != "" {
		return
	}
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
			w.update(func(o plan.Observed) plan.Observed { o.Outgrown = plan.Outgrown(v.Name, limit); return o })
			return
		}
	}
}
