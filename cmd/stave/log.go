package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
)

// logCmd is `stave log`: the cluster's own log, not a container's.
type logCmd struct {
	Status  logStatusCmd  `cmd:"" help:"Show where the log lies: segments, checkpoints, room."`
	Verify  logVerifyCmd  `cmd:"" help:"Read all that is sealed and tell what is damaged."`
	Archive logArchiveCmd `cmd:"" help:"Copy the log into a directory, for a backup."`
	Restore logRestoreCmd `cmd:"" help:"Make a cluster's log of an archive."`
}

// Help implements kong's detailed help.
func (logCmd) Help() string {
	return `The log of the cluster: everything that happened. For what a container wrote, see 'stave logs'.

Examples:
  sudo stave log status
  sudo stave log archive /backup/stave
  sudo stave log restore /backup/stave --name copy`
}

// parts are the sealed parts of a log in a directory.
type parts struct {
	dir         string
	segments    *segment.Archive
	checkpoints *follow.Checkpoints
	damaged     []string
}

// openParts looks at a log's directory, of a cluster or of an archive.
func openParts(dir string) (parts, error) {
	p := parts{dir: dir}
	if _, err := os.Stat(dir); err != nil {
		return p, fmt.Errorf("look at the log: %w", err)
	}
	var err error
	if p.segments, err = segment.Open(jetstream.Segments(dir), func(line string) { p.damaged = append(p.damaged, line) }); err != nil {
		return p, err
	}
	p.checkpoints, err = follow.OpenCheckpoints(checkpointsIn(dir))
	return p, err
}

func checkpointsIn(log string) string { return filepath.Join(log, "checkpoints") }

// logStatusCmd is `stave log status`.
type logStatusCmd struct{ clusterFlags }

// Help implements kong's detailed help.
func (logStatusCmd) Help() string {
	return `Examples:
  sudo stave log status
  sudo stave log status --name test`
}

// Run prints what lies where.
func (c *logStatusCmd) Run(s *session) error {
	l, err := c.layout()
	if err != nil {
		return err
	}
	p, err := openParts(l.log())
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 3, ' ', 0)
	first, last := p.segments.Bounds()
	var events, bytes int64
	for _, one := range p.segments.All() {
		events, bytes = events+int64(one.Count), bytes+one.Size
	}
	fmt.Fprintf(w, "directory\t%s\n", l.log())
	fmt.Fprintf(w, "sealed\t%d events from %d to %d in %d segments, %s\n", events, first, last, len(p.segments.All()), size(bytes))
	if all := p.segments.All(); len(all) > 0 {
		fmt.Fprintf(w, "history\tsince %s\n", all[0].From.UTC().Format(time.RFC3339))
	}
	for _, line := range p.damaged {
		fmt.Fprintf(w, "damaged\t%s\n", line)
	}
	all := p.checkpoints.All()
	fmt.Fprintf(w, "checkpoints\t%d\n", len(all))
	if n := len(all); n > 0 {
		fmt.Fprintf(w, "newest checkpoint\t%d of %s, %s\n", all[n-1].Seq, all[n-1].Time.UTC().Format(time.RFC3339), size(all[n-1].Bytes))
	}
	if durable, err := jetstream.Recorded(l.log()); err == nil && durable > 0 {
		fmt.Fprintf(w, "durable\tup to %d\n", durable)
	}
	return w.Flush()
}

// size is a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1f GiB", float64(n)/unit/unit/unit)
	case n >= unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/unit)
}

// logVerifyCmd is `stave log verify`.
type logVerifyCmd struct {
	clusterFlags
	Dir  string `arg:"" optional:"" help:"An archive; the cluster's own log when it is left out." placeholder:"DIR"`
	Fold bool   `help:"Fold all events from the first on too, and hold every checkpoint against them."`
}

// Help implements kong's detailed help.
func (logVerifyCmd) Help() string {
	return `Reads every segment and checkpoint, names what is damaged, and prints the hash of the state that they come to.
Exit code 1 when something is damaged.

Examples:
  sudo stave log verify
  sudo stave log verify --fold
  stave log verify /backup/stave`
}

// Run reads everything.
func (c *logVerifyCmd) Run(ctx context.Context, s *session) error {
	dir := c.Dir
	if dir == "" {
		l, err := c.layout()
		if err != nil {
			return err
		}
		dir = l.log()
	}
	p, err := openParts(dir)
	if err != nil {
		return err
	}
	found, err := p.verify(ctx, s.out, c.Fold)
	if err == nil && found > 0 {
		err = fmt.Errorf("%d damaged files\nhelp: 'stave log restore' makes the log anew from an archive; what is named above is never served", found)
	}
	return err
}

// verify prints what it finds and returns how many files are damaged.
func (p parts) verify(ctx context.Context, out io.Writer, fold bool) (damaged int, err error) {
	report := func(err error) {
		damaged++
		fmt.Fprintf(out, "damaged: %v\n", err)
	}
	for _, line := range p.damaged {
		report(errors.New(line))
	}
	if err := p.segments.Verify(ctx, report); err != nil {
		return damaged, err
	}
	for _, one := range p.checkpoints.All() {
		if err := p.checkpoints.Check(one); err != nil {
			report(err)
		}
	}
	first, last := p.segments.Bounds()
	if first > 1 {
		if err := p.checkpoints.CheckOrigins(first); err != nil {
			report(err)
		}
	}
	fmt.Fprintf(out, "%d segments, %d to %d, and %d checkpoints read\n", len(p.segments.All()), first, last, len(p.checkpoints.All()))
	if damaged > 0 || last == 0 {
		return damaged, nil
	}
	s, err := p.state(ctx, fold, report)
	if err != nil {
		return damaged, err
	}
	fmt.Fprintf(out, "state at %d is sha256:%s\n", s.Seq, events.HashOf(s.Dump()))
	return damaged, nil
}

// state is what the segments come to: folded from the newest checkpoint, or from
// their first event with every checkpoint held against what was folded.
func (p parts) state(ctx context.Context, fold bool, report func(error)) (projections.State, error) {
	first, last := p.segments.Bounds()
	s, ok := p.checkpoints.Before(func(seq events.Seq, _ time.Time) bool { return !fold && seq <= last && seq+1 >= first })
	if !ok && first > 1 {
		return s, fmt.Errorf("fold the log: it begins at %d, and no checkpoint lies in it", first)
	}
	due := map[events.Seq]bool{}
	for _, one := range p.checkpoints.All() {
		due[one.Seq] = fold
	}
	bulk := projections.NewBulk(s)
	err := p.segments.Read(ctx, s.Seq+1, last, func(e events.Envelope) error {
		bulk.Apply(e)
		if !due[e.Seq] {
			return nil
		}
		kept, ok := p.checkpoints.Before(func(seq events.Seq, _ time.Time) bool { return seq == e.Seq })
		if ok && events.HashOf(kept.Dump()) != events.HashOf(bulk.State().Dump()) {
			report(fmt.Errorf("checkpoint %d is another state than its events come to", e.Seq))
		}
		return nil
	})
	return bulk.State(), err
}

// logArchiveCmd is `stave log archive`.
type logArchiveCmd struct {
	clusterFlags
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
	l, err := c.layout()
	if err != nil {
		return err
	}
	reply, err := ask[wire.SealReply](ctx, s, wire.VerbSeal, wire.SealRequest{})
	if err != nil {
		if there, bad := exists(l.log()); bad != nil || !there {
			return errors.Join(err, bad)
		}
		fmt.Fprintf(s.err, "warning: the cluster does not answer, so what it has sealed is copied: %v\n", err)
	}
	copied, err := copyParts(l.log(), c.Dir)
	if err != nil {
		return err
	}
	p, err := openParts(c.Dir)
	if err != nil {
		return err
	}
	damaged, err := p.verify(ctx, s.out, false)
	if err == nil && damaged > 0 {
		err = fmt.Errorf("%d damaged files in %s", damaged, c.Dir)
	}
	if _, last := p.segments.Bounds(); err == nil && last < reply.Seq {
		err = fmt.Errorf("the archive ends at %d, the cluster has sealed up to %d: is %s its directory?\nhelp: --name or --data-dir say which", last, reply.Seq, l.log())
	}
	if err == nil {
		fmt.Fprintf(s.out, "%d files copied to %s\n", copied, c.Dir)
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
	damaged, err := p.verify(ctx, s.out, false)
	if err != nil {
		return err
	}
	if _, last := p.segments.Bounds(); damaged > 0 || last == 0 {
		return fmt.Errorf("%s is no sound archive: %d damaged files, %d events", c.Dir, damaged, last)
	}
	if err := os.MkdirAll(l.log(), 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	copied, err := copyParts(c.Dir, l.log())
	if err != nil {
		return errors.Join(err, os.RemoveAll(l.log()))
	}
	fmt.Fprintf(s.out, "%d files restored to %s\n", copied, l.log())
	if s.hints() {
		fmt.Fprintf(s.err, "help: take it up with: stave up%s\n", nameFlag(l.name))
	}
	return nil
}

// copyParts copies the segments and checkpoints that are not there yet.
func copyParts(from, to string) (copied int, err error) {
	for _, part := range []string{jetstream.Segments(""), checkpointsIn("")} {
		names, err := filepath.Glob(filepath.Join(from, part, "*[0-9].*"))
		if err != nil {
			return copied, fmt.Errorf("list the log's files: %w", err)
		}
		if err := os.MkdirAll(filepath.Join(to, part), 0o700); err != nil {
			return copied, fmt.Errorf("make directory: %w", err)
		}
		for _, name := range names {
			end := filepath.Join(to, part, filepath.Base(name))
			there, err := exists(end)
			if err != nil {
				return copied, err
			}
			if there || filepath.Ext(name) == ".refused" {
				continue
			}
			b, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a checkpoint that was thinned out meanwhile
			}
			if err == nil {
				err = sealed.Replace(end, b)
			}
			if err != nil {
				return copied, fmt.Errorf("copy %s: %w", name, err)
			}
			copied++
		}
	}
	return copied, nil
}
