package ebpf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stave-run/stave/dataplane/plan"
)

// retryEvery is how often services are tried again that did not fit.
const retryEvery = plan.Quarantine

// Apply makes the services that are given the ones that exist. Only what differs is
// written. An error of type [plan.Refusals] names the services that could not be placed;
// all others are in force, and those are tried again by themselves.
func (d *Dataplane) Apply(want []plan.Service) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	writes, refused := plan.Diff(want, d.written, time.Now())
	if err := d.write(writes); err != nil {
		return err
	}
	if err := d.switchOver(); err != nil {
		return err
	}
	d.applied = true
	d.tell()
	return refused
}

// Change puts and drops single services, at a cost that does not depend on how many there
// are. It is for after a first [Dataplane.Apply], and fails as that does.
func (d *Dataplane) Change(put []plan.Service, drop []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	writes, refused := d.written.Change(put, drop, time.Now())
	if err := d.write(writes); err != nil {
		return err
	}
	d.tell()
	return refused
}

// retry places what did not fit when there is room, until the context ends.
func (d *Dataplane) retry(ctx context.Context) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := d.retryOnce(); err != nil {
			d.opts.Log.Warn("placing services again", "err", err)
		}
	}
}

func (d *Dataplane) retryOnce() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	writes, _ := d.written.Retry(time.Now()) // what still does not fit was told, and stays so
	if err := d.write(writes); err != nil {
		return err
	}
	d.tell()
	return nil
}

// tell says which services are not placed, when it is not what was said last.
func (d *Dataplane) tell() {
	now := d.written.Unplaced()
	same := func(a, b plan.Refusal) bool { return a.Key == b.Key && a.Err.Error() == b.Err.Error() }
	if d.opts.Unplaced == nil || !d.applied || d.told && slices.EqualFunc(now, d.unplaced, same) {
		return
	}
	d.told, d.unplaced = true, now
	d.opts.Unplaced(now)
}

// write makes the writes. After a failure the model is read back from the kernel, so
// that the next comparison starts from the truth.
func (d *Dataplane) write(writes []plan.Write) error {
	var err error
	for _, w := range writes {
		if err = d.make(w); err != nil {
			break
		}
	}
	if err = errors.Join(err, d.table.flush()); err == nil {
		return nil
	}
	if d.closer != nil {
		d.closer.everything()
	}
	return errors.Join(fmt.Errorf("write table: %w", err), d.readBack())
}

func (d *Dataplane) make(w plan.Write) error {
	shed, ok := w.(plan.Shed)
	if !ok {
		return d.table.make(w)
	}
	if d.closer != nil {
		d.closer.shed(shed.Frontend)
	}
	return nil
}

// switchOver puts new programs with filled tables in the place of those of another
// schema, and removes the old tables. Flows that were translated on the links start anew.
func (d *Dataplane) switchOver() error {
	if !d.staged {
		return nil
	}
	if err := d.attach(); err != nil {
		return err
	}
	d.staged = false
	spec, err := loadPrograms()
	if err != nil {
		return fmt.Errorf("parse programs: %w", err)
	}
	others, err := otherSchemas(d.opts, mapsDir(d.opts, spec))
	for _, dir := range others {
		err = errors.Join(err, removeTree(dir))
	}
	return err
}
