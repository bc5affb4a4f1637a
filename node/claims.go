package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/volume"
	"github.com/stave-run/stave/projections"
)

// erasePause is what lies between two looks whether a volume can be erased: somebody may still have it, or a file resist.
const erasePause = time.Second

// claimsDir is where the directories of PersistentVolumes are: people's data, which no end of a pod touches.
func claimsDir(dataDir string) string { return filepath.Join(dataDir, "claims") }

func (a *Agent) claimDir(name string) string {
	return filepath.Join(claimsDir(a.o.DataDir), filepath.Base(name)) // one step below, whatever the name is
}

// claimPath is where the volume behind a claim is.
func (a *Agent) claimPath(d projections.DesiredVolume) string {
	switch {
	case d.HostPath != nil:
		return d.HostPath.Path
	case d.Local != "":
		return d.Local
	}
	return a.claimDir(d.Name)
}

// openClaim makes the volume behind a claim ready to be mounted. Only a directory that was never made is made.
func (w *worker) openClaim(ctx context.Context, row *projections.DesiredPod, d projections.DesiredVolume) error {
	if d.HostPath != nil {
		return volume.HostPath(d.HostPath)
	}
	path := w.a.claimPath(d)
	if d.Local == "" && !d.Made {
		if err := volume.Keep(path); err != nil {
			return fmt.Errorf("make volume %s: %w", d.Name, err)
		}
		seen := events.VolumeSeen{Name: d.Name, UID: d.UID, Kind: events.VolumeMade, At: w.a.now()}
		if err := w.a.journal.add(ctx, piece{Piece: ledger.Piece{Volume: &seen}}); err != nil {
			return fmt.Errorf("report volume %s: %w", d.Name, err)
		}
	}
	switch fi, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist) && d.Local == "":
		return fmt.Errorf("the directory %s of volume %s was made on this node and is gone: its data is lost, or its disk is not mounted; nothing is put in its place", path, d.Name)
	case err != nil:
		return fmt.Errorf("open volume %s: %w", d.Name, err)
	case !fi.IsDir():
		return fmt.Errorf("%s of volume %s is not a directory: devices are not mounted yet", path, d.Name)
	}
	sc := row.Pod.Spec.SecurityContext
	if d.ReadOnly || sc == nil || sc.FSGroup == nil {
		return nil
	}
	return volume.Own(path, *sc.FSGroup, sc.FSGroupChangePolicy != nil && *sc.FSGroupChangePolicy == corev1.FSGroupChangeOnRootMismatch)
}

// erase removes the directories of volumes that shall go, each as soon as no pod has it any more.
func (a *Agent) erase(list []projections.ErasedVolume) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range list {
		if a.erasing[e.UID] {
			continue
		}
		a.erasing[e.UID] = true
		ctx := a.life
		a.working.Go(func() {
			a.eraseOne(ctx, e)
			a.mu.Lock()
			delete(a.erasing, e.UID)
			a.mu.Unlock()
		})
	}
}

// eraseOne goes on until the directory is gone and that is told, or ctx ends.
func (a *Agent) eraseOne(ctx context.Context, e projections.ErasedVolume) {
	said := ""
	for ctx.Err() == nil {
		seen := events.VolumeSeen{Name: e.Name, UID: e.UID, Kind: events.VolumeErased, At: a.now()}
		if !a.mounted(e.UID) {
			if err := volume.Erase(a.claimDir(e.Name)); err != nil {
				seen.Kind, seen.Message = events.VolumeNotErased, err.Error()
			}
			if seen.Kind == events.VolumeErased || seen.Message != said {
				if a.journal.add(ctx, piece{Piece: ledger.Piece{Volume: &seen}}) == nil && seen.Kind == events.VolumeErased {
					return
				}
				said = seen.Message
			}
		}
		wait(ctx, nil, time.Now().Add(erasePause), time.Now())
	}
}

// mounted tells whether a pod may have a volume. What one had that the node shall not have any more is not known: until it is
// cleaned away it may be any.
func (a *Agent) mounted(volume events.UID) bool {
	any := false
	a.each(func(w *worker) {
		row, obs, _ := w.state()
		if !obs.Remains {
			return
		}
		if row == nil {
			any = true
			return
		}
		for _, d := range row.Claims { //stave:sorted one answer for all
			any = any || d.UID == volume
		}
	})
	return any
}

// claimed is the volume behind one of a pod's volumes, false for one of another kind.
func claimed(row *projections.DesiredPod, v corev1.Volume) (projections.DesiredVolume, bool) {
	if !plan.Claimed(v) {
		return projections.DesiredVolume{}, false
	}
	return row.Claims[v.Name], true
}
