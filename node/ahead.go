package node

import (
	"context"
	"time"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// aheadPatience bounds what is done ahead: the control plane may have to be asked, and nobody waits for that here.
const aheadPatience = time.Second

// prepared is the container that was made ahead, and for which row: a newer one may want another container.
type prepared struct {
	id, container string
	row           *projections.DesiredPod
}

// ahead fills the volumes and makes the first container while the pod's network and shim are being made: a sixth of the time
// from the wish to the running pod. It says nothing of what fails: the plan comes to the same steps, and tells.
func (w *worker) ahead(ctx context.Context, row *projections.DesiredPod, ip string) {
	_, obs, _ := w.state()
	n, _, _ := w.a.describe()
	c, ok := plan.First(row, obs)
	if !ok || plan.HasCertificates(&row.Pod.Spec) || plan.VolumesError(row, n) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, aheadPatience)
	defer cancel()
	err := w.fillVolumes(ctx, row, obs, plan.Fingerprint(row, n))
	if err == nil {
		err = w.createAhead(ctx, row, c, ip)
	}
	if err != nil {
		w.log().Debug("make a container ahead", "error", err)
	}
}

func (w *worker) createAhead(ctx context.Context, row *projections.DesiredPod, container, ip string) error {
	if err := w.unprepare(ctx, row, ""); err != nil {
		return err
	}
	plain, err := w.opened(ctx, row)
	var spec runtime.ContainerSpec
	if err == nil {
		spec, err = w.a.containerSpec(plain, plan.Start{Container: container, Run: 1}, ip)
	}
	if err != nil {
		return err
	}
	id, err := w.a.o.Runtime.Create(ctx, spec)
	if err == nil {
		w.prepared = prepared{id, container, row}
	}
	return err
}

// unprepare removes the container that was made ahead for another row than the one that is wanted now. It is forgotten when
// it begins, if it is begun.
func (w *worker) unprepare(ctx context.Context, row *projections.DesiredPod, begun string) error {
	was := w.prepared
	switch {
	case was.id == "" || was.row == row && was.container != begun:
		return nil
	case was.row == row:
		w.prepared = prepared{}
		return nil
	}
	w.prepared = prepared{}
	return w.a.o.Runtime.Remove(ctx, was.id)
}
