package node

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/logfile"
)

// The logs of pods that are gone are kept for a while, for whoever asks what they
// said; the oldest go first.
const (
	keepLogsFor = 24 * time.Hour
	// keepLogsBytes bounds them all.
	keepLogsBytes = 100 << 20
	// keepLogsOf bounds of how many pods.
	keepLogsOf = 500
)

// leftLogs is the directory of a pod's logs.
type leftLogs struct {
	dir   string
	last  time.Time // when something was written last
	bytes int64
}

// sweepLogs removes the logs of gone pods beyond the bounds.
func (a *Agent) sweepLogs() error {
	left, err := a.leftLogs()
	slices.SortFunc(left, func(x, y leftLogs) int { return y.last.Compare(x.last) })
	errs := []error{err}
	var bytes int64
	for i, l := range left {
		if bytes += l.bytes; i >= keepLogsOf || bytes > keepLogsBytes || a.now().Sub(l.last) > keepLogsFor {
			errs = append(errs, os.RemoveAll(l.dir))
		}
	}
	return errors.Join(errs...)
}

// leftLogs are those of pods that this node knows no more.
func (a *Agent) leftLogs() ([]leftLogs, error) {
	dirs, err := os.ReadDir(a.logsDir())
	if err != nil {
		return nil, err
	}
	var out []leftLogs
	for _, d := range dirs {
		uid := events.UID(d.Name()[strings.LastIndexByte(d.Name(), '_')+1:])
		if _, err := os.Stat(a.podDir(uid)); err == nil {
			continue
		}
		l := leftLogs{dir: filepath.Join(a.logsDir(), d.Name())}
		err := filepath.WalkDir(l.dir, func(_ string, f fs.DirEntry, err error) error {
			if err != nil || f.IsDir() {
				return err
			}
			has, err := f.Info()
			if err == nil {
				l.bytes += has.Size()
				l.last = slices.MaxFunc([]time.Time{l.last, has.ModTime()}, time.Time.Compare)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return out, err
		}
		out = append(out, l)
	}
	return out, nil
}

// keptLog is the log of a run as it may lie here still; ok is false when it does not.
func (a *Agent) keptLog(req wire.LogsRequest) (path string, ok bool) {
	for _, part := range []string{req.Namespace, req.Pod, string(req.UID), req.Container} {
		if part == "" || strings.ContainsAny(part, "/_") || strings.HasPrefix(part, ".") {
			return "", false // no name that a pod can have
		}
	}
	path = logfile.Path(a.logsDir(), req.Namespace, req.Pod, string(req.UID), req.Container, cmp.Or(req.Run, 1)-1)
	_, err := os.Stat(path)
	return path, err == nil
}

// past reads a log up to a moment of the past.
type past struct {
	until time.Time
	tail  int // lines before it; negative: all
	next  func(logfile.Line) error

	held  []logfile.Line
	lines int // whole ones among them
}

func (p *past) line(l logfile.Line) error {
	switch {
	case l.At.After(p.until):
		return errEnough
	case p.tail < 0:
		return p.next(l)
	}
	l.Text = slices.Clone(l.Text) // the reader uses it again
	p.held = append(p.held, l)
	if !l.Partial {
		p.lines++
	}
	for p.lines > p.tail {
		whole := slices.IndexFunc(p.held, func(l logfile.Line) bool { return !l.Partial })
		p.held, p.lines = p.held[whole+1:], p.lines-1
	}
	return nil
}

// flush gives what is held: the last lines before the moment.
func (p *past) flush() error {
	for _, l := range p.held {
		if err := p.next(l); err != nil {
			return err
		}
	}
	p.held = nil
	return nil
}
