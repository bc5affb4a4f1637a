package node

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/logfile"
	"github.com/stave-run/stave/node/plan"
)

// tailLines is how many lines are looked at for the last words of a container.
const tailLines = 20

// lastWords is the end of a log, whole lines, at most so many of them and so many bytes. A log that cannot be read says
// nothing.
func lastWords(path string, lines, bytes int) string {
	var text strings.Builder
	err := logfile.Read(context.Background(), path, logfile.ReadOptions{Tail: lines}, func(l logfile.Line) error {
		text.Write(l.Text)
		if !l.Partial {
			text.WriteByte('\n')
		}
		return nil
	})
	if err != nil {
		return ""
	}
	s := strings.TrimSuffix(text.String(), "\n")
	if len(s) <= bytes {
		return strings.ToValidUTF8(s, "�")
	}
	s = s[len(s)-bytes:]
	if _, whole, ok := strings.Cut(s, "\n"); ok {
		s = whole
	}
	return strings.ToValidUTF8(s, "")
}

func (a *Agent) serveLogs(ctx context.Context, r bus.Request, s bus.Stream) {
	err := a.logs(ctx, r, s)
	if ctx.Err() != nil {
		return // the client went away
	}
	finish(ctx, s, statusOf(err))
}

func (a *Agent) logs(ctx context.Context, r bus.Request, s bus.Stream) error {
	req, err := hello[wire.LogsRequest](r)
	if err != nil {
		return err
	}
	if !req.Until.IsZero() {
		return a.pastLogs(ctx, req, s)
	}
	t, err := a.find(req.Namespace, req.Pod, req.UID, req.Container)
	if err != nil {
		return err
	}
	run, err := t.logged(req.Previous)
	if err != nil {
		return err
	}
	if req.Run > 0 {
		run = min(run, req.Run)
	}
	o := logfile.ReadOptions{Tail: -1, Since: req.Since, Follow: req.Follow}
	if req.Tail != nil && *req.Tail >= 0 {
		o.Tail = int(*req.Tail)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // the client says nothing; that it went away is heard by listening
		defer cancel()
		for {
			if _, err := s.Recv(ctx); err != nil {
				return
			}
		}
	}()
	o.Ended = t.w.over(ctx, t.name, run)
	out := &logSender{ctx: ctx, to: s, request: req}
	err = logfile.Read(ctx, a.logPath(t.row, t.name, run), o, out.line)
	if errors.Is(err, os.ErrNotExist) {
		return badRequest("container %q in pod %q has no log: %s", t.name, req.Pod, t.waiting())
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, out.flush())
}

// pastLogs is the log of a run as it was at a moment, also of a pod that is gone.
func (a *Agent) pastLogs(ctx context.Context, req wire.LogsRequest, s bus.Stream) error {
	path, ok := a.keptLog(req)
	if !ok {
		return notFound("node %q no longer has the log of run %d of container %q in pod %q: of a pod that is there it keeps two runs, of one that is gone all that it had, for a day and up to %d MiB in all",
			a.o.Name, req.Run, req.Container, req.Pod, keepLogsBytes>>20)
	}
	out := &logSender{ctx: ctx, to: s, request: req}
	before := &past{until: req.Until, tail: -1, next: out.line}
	if req.Tail != nil && *req.Tail >= 0 {
		before.tail = int(*req.Tail)
	}
	err := logfile.Read(ctx, path, logfile.ReadOptions{Tail: -1, Since: req.Since}, before.line)
	if err == nil || errors.Is(err, errEnough) {
		err = before.flush()
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, out.flush())
}

// logged is the run whose log is asked for. While the next one is waited for, the one before is that which ended last: its
// end is what people see of the container then.
func (t target) logged(previous bool) (int, error) {
	run := t.obs.Known[t.name].Run
	if c, ok := t.obs.Newest(t.name); ok && c.Phase != plan.Created {
		run = max(run, c.Run)
	}
	if run == 0 {
		return 0, badRequest("container %q in pod %q is waiting to start: %s", t.name, t.row.Pod.Name, t.waiting())
	}
	waits := t.obs.Known[t.name]
	if !previous || waits.Run == run && waits.Ended && waits.Waiting != "" {
		return run, nil
	}
	if run == 1 {
		return 0, badRequest("previous terminated container %q in pod %q not found", t.name, t.row.Pod.Name)
	}
	return run - 1, nil
}

// over is closed when nothing more will be written to the log of a run.
func (w *worker) over(ctx context.Context, name string, run int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			w.mu.Lock()
			obs, gone, changed := w.obs, w.gone, w.changed
			w.mu.Unlock()
			c, ok := obs.Newest(name)
			if gone || !ok || c.Run > run || c.Run == run && c.Phase == plan.Exited {
				return
			}
			wait(ctx, changed, time.Time{}, time.Time{})
		}
	}()
	return done
}

// errEnough ends reading at the limit.
var errEnough = errors.New("limit reached")

// flushBytes is how much is gathered before it is sent, in bytes; a follower's lines are sent at once.
const flushBytes = 32 << 10

// logSender turns entries into frames.
type logSender struct {
	ctx     context.Context
	to      bus.Stream
	request wire.LogsRequest
	buf     []byte
	sent    int64
	partial bool // the line before goes on
}

func (s *logSender) line(l logfile.Line) error {
	before := len(s.buf)
	if s.request.Timestamps && !s.partial {
		s.buf = l.At.UTC().AppendFormat(s.buf, time.RFC3339Nano)
		s.buf = append(s.buf, ' ')
	}
	s.buf = append(s.buf, l.Text...)
	if s.partial = l.Partial; !l.Partial {
		s.buf = append(s.buf, '\n')
	}
	s.sent += int64(len(s.buf) - before)
	if limit := s.request.LimitBytes; limit > 0 && s.sent >= limit {
		s.buf = s.buf[:int64(len(s.buf))-(s.sent-limit)]
		return errEnough
	}
	if s.request.Follow || len(s.buf) >= flushBytes {
		return s.flush()
	}
	return nil
}

func (s *logSender) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	err := s.to.Send(s.ctx, bus.Frame{Channel: wire.Stdout, Data: s.buf})
	s.buf = nil // the stream may hold on to it
	return err
}
