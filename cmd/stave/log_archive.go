package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/gateway/wire"
)

// logArchiveCmd is `stave log archive`.
type logArchiveCmd struct {
	hereFlags
	Dir string `arg:"" help:"Where to; what lies there from before is added to." placeholder:"DIR"`
}

// Help implements kong's detailed help.
func (logArchiveCmd) Help() string {
	return `Has the running cluster seal what it has, and copies segments and checkpoints into a directory. What is there
already is not copied again, so a second archive into the same directory costs what was added since.
The log tells everything of the cluster; who may read an archive may read that, but for the values of Secrets: their keys
are in the cluster's directory keys, and belong into another place than the archive, with another lock.

Examples:
  sudo stave log archive /backup/stave
  sudo stave log archive /backup/stave --name test`
}

// Run seals and copies.
func (c *logArchiveCmd) Run(ctx context.Context, s *session) error {
	l, err := c.layout(s)
	if err != nil {
		return err
	}
	reply, err := ask[wire.SealReply](ctx, s, wire.VerbSeal, wire.SealRequest{})
	if errors.Is(err, context.Canceled) {
		return brokenOff(err, "nothing was copied")
	}
	if err != nil {
		if there, bad := exists(l.log()); bad != nil || !there {
			return errors.Join(err, bad)
		}
		fmt.Fprintf(s.err, "warning: the cluster does not answer, so what it has sealed is copied: %v\n", err)
	}
	if err := refused(reply.Error); err != nil {
		return fmt.Errorf("the cluster cannot seal what is new, and nothing was copied: %w", err)
	}
	from, err := partsOf(l)
	if err != nil {
		return err
	}
	for _, line := range from.damaged {
		fmt.Fprintf(s.err, "warning: it is not copied: %s\n", line)
	}
	copied, err := from.copyTo(ctx, c.Dir)
	if err != nil {
		return brokenOff(archiving(err), "what was copied stays: 'stave log archive' goes on from there")
	}
	p, err := openParts(c.Dir)
	if err != nil {
		return err
	}
	p.progress = s.slowly()
	found, err := p.verify(ctx, s.out, false)
	if errors.Is(err, context.Canceled) {
		return brokenOff(err, fmt.Sprintf("%d files were copied to %s; that they are whole 'stave log verify %s' tells", copied, c.Dir, c.Dir))
	}
	if err == nil && found.any() {
		err = found.error(true)
	}
	if _, last := p.segments.Bounds(); err == nil && last < reply.Seq {
		err = fmt.Errorf("the archive ends at %d, the cluster has sealed up to %d: is %s its directory?\nhelp: --name or --data-dir say which", last, reply.Seq, l.log())
	}
	if err == nil {
		fmt.Fprintf(s.out, "%d files copied to %s\n", copied, c.Dir)
	}
	return err
}

// archiving says what can be done about an archive of another log.
func archiving(err error) error {
	var foreign *segment.ForeignError
	if errors.As(err, &foreign) {
		return helped{err, "nothing was copied; archive into another directory, and keep this one for what it tells"}
	}
	return err
}

// logRestoreCmd is `stave log restore`.
type logRestoreCmd struct {
	clusterFlags
	Dir string `arg:"" help:"An archive." placeholder:"DIR"`
}

// Help implements kong's detailed help.
func (logRestoreCmd) Help() string {
	return `Makes the log of a cluster that is not there yet; 'stave up' with the same name takes it up. The machine may have
another name and address than the one that the archive was made on. To have the values of Secrets, put the directory of
keys beside the log before the cluster comes up.

Examples:
  sudo stave log restore /backup/stave
  sudo stave log restore /backup/stave --name copy`
}

// Run verifies and copies.
func (c *logRestoreCmd) Run(ctx context.Context, s *session) error {
	l, err := c.layout()
	if err != nil {
		return err
	}
	if there, err := exists(l.log()); err != nil || there {
		return errors.Join(err, fmt.Errorf("cluster %s has a log in %s\nhelp: choose another --name or --data-dir, or remove it first: stave down --purge%s", l.name, l.log(), nameFlag(l.name)))
	}
	p, err := openParts(c.Dir)
	if err != nil {
		return err
	}
	p.progress = s.slowly()
	found, err := p.verify(ctx, s.out, false)
	if err != nil {
		return brokenOff(err, nothingRestored)
	}
	if _, last := p.segments.Bounds(); found.segments > 0 || last == 0 {
		return fmt.Errorf("%s is no sound archive: %d damaged files, %d events", c.Dir, found.segments, last)
	}
	p.beyond(s.out)
	copied, err := p.restoreTo(ctx, l.log())
	if err != nil {
		return brokenOff(err, nothingRestored)
	}
	fmt.Fprintf(s.out, "%d files restored to %s\n", copied, l.log())
	if s.hints() {
		fmt.Fprintf(s.err, "help: take it up with: stave up%s\n", nameFlag(l.name))
	}
	return nil
}

// nothingRestored is what somebody should know who broke a restore off.
const nothingRestored = "nothing was restored, and nothing of it is left"

// restoreTo makes a log's directory, whole or not at all.
func (p parts) restoreTo(ctx context.Context, log string) (copied int, err error) {
	half := log + ".restoring"
	if err := errors.Join(os.RemoveAll(half), os.MkdirAll(half, 0o700)); err != nil { // of one that was broken off
		return 0, fmt.Errorf("make directory: %w", err)
	}
	if copied, err = p.copyTo(ctx, half); err == nil {
		err = os.Rename(half, log)
	}
	if err != nil {
		return copied, errors.Join(fmt.Errorf("restore log: %w", err), os.RemoveAll(half))
	}
	return copied, sealed.SyncDir(filepath.Dir(log))
}

// copyTo copies the segments and checkpoints that are not there yet.
func (p parts) copyTo(ctx context.Context, dir string) (copied int, err error) {
	if err := errors.Join(os.MkdirAll(jetstream.Segments(dir), 0o700), os.MkdirAll(checkpointsIn(dir), 0o700)); err != nil {
		return 0, fmt.Errorf("make directory: %w", err)
	}
	there, err := segment.Open(jetstream.Segments(dir), func(string) {}) // what is damaged there is copied anew
	if err != nil {
		return 0, err
	}
	segments, err := p.segments.CopyTo(ctx, there)
	if err != nil {
		return segments, err
	}
	_, last := p.segments.Bounds()
	others, err := p.checkpoints.CopyTo(ctx, checkpointsIn(dir), last)
	return segments + others, err
}
