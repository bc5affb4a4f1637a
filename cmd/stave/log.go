package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
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
	progress    func(doing string, done, of int) // may be nil
}

func (p parts) tell(doing string, done, of int) {
	if p.progress != nil {
		p.progress(doing, done, of)
	}
}

// partsOf looks at the log of a cluster.
func partsOf(l layout) (parts, error) {
	there, err := exists(l.log())
	if err == nil && !there {
		err = helped{fmt.Errorf("cluster %s has no log in %s", l.name, l.log()), "--name and --data-dir say which cluster is meant"}
	}
	if err != nil {
		return parts{}, err
	}
	return openParts(l.log())
}

// openParts looks at a log's directory, of a cluster or of an archive.
func openParts(dir string) (parts, error) {
	p := parts{dir: dir}
	there, err := exists(jetstream.Segments(dir))
	if err == nil && !there {
		err = fmt.Errorf("%s holds no log: it has no directory segments", dir)
	}
	if err != nil {
		return p, err
	}
	if p.segments, err = segment.Open(jetstream.Segments(dir), func(line string) { p.damaged = append(p.damaged, line) }); err != nil {
		return p, err
	}
	p.checkpoints, err = follow.OpenCheckpoints(checkpointsIn(dir))
	return p, err
}

func checkpointsIn(log string) string { return filepath.Join(log, "checkpoints") }

// logStatusCmd is `stave log status`.
type logStatusCmd struct{ hereFlags }

// Help implements kong's detailed help.
func (logStatusCmd) Help() string {
	return `Examples:
  sudo stave log status
  sudo stave log status --name test`
}

// Run prints what lies where.
func (c *logStatusCmd) Run(s *session) error {
	l, err := c.layout(s)
	if err != nil {
		return err
	}
	p, err := partsOf(l)
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
	hereFlags
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
	p, err := c.parts(s)
	if err != nil {
		return err
	}
	p.progress = s.slowly()
	found, err := p.verify(ctx, s.out, c.Fold)
	if err == nil && c.Dir != "" {
		found.segments += p.beyond(s.out)
	}
	if err == nil && found.any() {
		err = found.error(c.Dir != "")
	}
	return err
}

func (c *logVerifyCmd) parts(s *session) (parts, error) {
	if c.Dir != "" {
		return openParts(c.Dir)
	}
	l, err := c.layout(s)
	if err != nil {
		return parts{}, err
	}
	return partsOf(l)
}

// damage counts files that are not what was written.
type damage struct {
	segments int
	missing  int // segments at the beginning
	others   int // checkpoints, which others can be made of, and who set what before a cut
}

func (d damage) any() bool { return d.segments+d.missing+d.others > 0 }

func (d damage) error(archive bool) error {
	help := "what is damaged is never used, and of checkpoints others are made: the files that are named above may be removed"
	switch {
	case d.segments+d.missing > 0 && archive:
		help = "'stave log archive' copies anew what the cluster still has"
	case d.segments+d.missing > 0:
		help = "a start mends what the stream still has. For the rest, copy the files of the missing events from the directory segments of an archive into that of the log, and start again"
	}
	return helped{fmt.Errorf("%d damaged or missing files", d.segments+d.missing+d.others), help}
}

// beyond names a checkpoint of what an archive has no events of: there were more.
func (p parts) beyond(out io.Writer) int {
	_, last := p.segments.Bounds()
	all := p.checkpoints.All()
	if len(all) == 0 || all[len(all)-1].Seq <= last {
		return 0
	}
	fmt.Fprintf(out, "incomplete: it ends at %d, and there is a checkpoint of %d: the segments in between are missing\n", last, all[len(all)-1].Seq)
	return 1
}

// verify prints what it finds and counts what is damaged.
func (p parts) verify(ctx context.Context, out io.Writer, fold bool) (found damage, err error) {
	report := func(n *int) func(error) {
		return func(err error) {
			*n++
			fmt.Fprintf(out, "damaged: %v\n", err)
		}
	}
	for _, line := range p.damaged {
		report(&found.segments)(errors.New(line))
	}
	if err := p.segments.Verify(ctx, func(done, of int) { p.tell("segments", done, of) }, report(&found.segments)); err != nil {
		return found, err
	}
	for _, one := range p.checkpoints.All() {
		if err := p.checkpoints.Check(one); err != nil && !errors.Is(err, fs.ErrNotExist) { // thinned out meanwhile
			report(&found.others)(err)
		}
	}
	first, last := p.segments.Bounds()
	if first > 1 && found.segments == 0 {
		err := p.checkpoints.CheckOrigins(first)
		if lost := (*follow.NotCutError)(nil); errors.As(err, &lost) {
			report(&found.missing)(err)
		} else if err != nil {
			report(&found.others)(err)
		}
	}
	fmt.Fprintf(out, "%d segments, %d to %d, and %d checkpoints read\n", len(p.segments.All()), first, last, len(p.checkpoints.All()))
	if found.segments > 0 || last == 0 {
		return found, nil
	}
	s, err := p.state(ctx, fold, report(&found.others))
	if err != nil {
		return found, err
	}
	fmt.Fprintf(out, "state at %d is sha256:%s\n", s.Seq, events.HashOf(s.Dump()))
	return found, nil
}

// foldedEach is how many events lie between two looks at the clock.
const foldedEach = 1000

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
		if e.Seq%foldedEach == 0 {
			p.tell("folded", int(e.Seq), int(last))
		}
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
