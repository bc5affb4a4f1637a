package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// record is what the node keeps of a pod on disk: enough to go on without the control plane, and not to say twice what
// was said. What the runtime knows itself is not in it.
type record struct {
	Row     *projections.DesiredPod     `json:"row,omitempty"`
	IP      string                      `json:"ip,omitempty"`
	Volumes string                      `json:"volumes,omitempty"`
	Due     time.Time                   `json:"due,omitzero"` // of the tokens in the volumes
	Images  map[string]plan.VolumeImage `json:"images,omitempty"`
	Known   map[string]plan.Known       `json:"known,omitempty"`
	Told    plan.Told                   `json:"told,omitzero"`
	Leave   *plan.Leave                 `json:"leave,omitempty"`
	Remains bool                        `json:"remains,omitempty"`
}

const recordFile = "record.json"

func (a *Agent) podDir(uid events.UID) string { return filepath.Join(a.podsDir(), string(uid)) }

// loadRecords makes a worker of each record.
func (a *Agent) loadRecords() error {
	dirs, err := os.ReadDir(a.podsDir())
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	for _, d := range dirs {
		uid := events.UID(d.Name())
		w := newWorker(a, uid)
		a.workers[uid] = w
		var r record
		if err := readJSON(filepath.Join(a.podDir(uid), recordFile), &r); err != nil {
			a.log.Warn("read record of pod", "uid", uid, "error", err)
			w.obs.Remains = true
			continue
		}
		w.row, w.known, w.last = r.Row, r.Row != nil, r.Row
		w.obs = plan.Observed{IP: r.IP, Volumes: r.Volumes, TokensDue: r.Due, Images: r.Images, Known: r.Known, Told: r.Told, Leave: r.Leave, Remains: r.Remains}
	}
	return nil
}

// stale says that the record on disk is older than what is known from here on. It is written when the worker has nothing to
// do, and before an operation that takes away what a restarted agent could look at instead: a pod that begins comes by a
// dozen things to remember, and each new record has the file system give up a file and find another.
func (w *worker) stale() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsaved = true
}

// save writes the record if it is stale; what cannot be written is said again after a restart, which does no harm.
func (w *worker) save() {
	w.mu.Lock()
	if !w.unsaved {
		w.mu.Unlock()
		return
	}
	w.unsaved = false
	o := w.obs
	r := record{Row: w.row, IP: o.IP, Volumes: o.Volumes, Due: o.TokensDue, Images: o.Images, Known: o.Known, Told: o.Told, Leave: o.Leave, Remains: o.Remains}
	w.mu.Unlock()
	dir := w.a.podDir(w.uid)
	err := os.MkdirAll(dir, 0o711)
	if err == nil {
		err = writeJSON(filepath.Join(dir, recordFile), r)
	}
	if err != nil {
		w.log().Error("save record of pod", "error", err)
	}
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// writeJSON replaces a file in one step.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, b, 0o600)
}

// keepJSON is writeJSON for what a power cut must not take: without the sync the next start finds an empty file.
func keepJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, path)
}
