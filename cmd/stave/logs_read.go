package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
)

// logReading is the reading of one log. One that follows asks for the time of
// each line whether they are printed or not: after a break it goes on where it
// was.
type logReading struct {
	s       *session
	out     *logOutput
	of      source
	request wire.LogsRequest
	head    []byte
	stamps  bool  // print times
	left    int64 // bytes that may still be printed; negative: as many as come

	began bool      // the agent has answered once
	last  time.Time // of the line printed last
	same  int       // how many printed lines have exactly that time
	skip  int       // of them, how many come again after a break
}

// errEnough ends a log at its limit.
var errEnough = errors.New("enough")

// read prints one log to its end.
func (c *logsCmd) read(ctx context.Context, s *session, out *logOutput, of source) error {
	r := &logReading{s: s, out: out, of: of, request: c.request(of), head: out.head(of), stamps: c.Timestamps, left: -1}
	if !c.until.IsZero() && r.request.Run < 1 {
		return fmt.Errorf("container %q in pod %q had no such run then\nhelp: stave restarts %s lists its runs", of.container, of.pod.Name, of.pod.Name)
	}
	if !c.Follow {
		return r.once(ctx)
	}
	r.request.Run = of.run
	if c.Previous {
		r.request.Run = 0
	}
	r.request.Timestamps = true
	if c.LimitBytes > 0 {
		r.left, r.request.LimitBytes = c.LimitBytes, 0 // what is counted is what is printed
	}
	return r.follow(ctx)
}

// follow goes on over breaks of the connection and restarts of the server.
func (r *logReading) follow(ctx context.Context) error {
	for told := false; ; {
		err := r.once(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errEnough):
			return nil
		case err == nil || !r.began:
			return err
		case !cutOff(err):
			var refusal *statusError
			if errors.As(err, &refusal) && refusal.Code == 404 {
				return nil // the pod went away: that was its last line
			}
			return err
		}
		if !told {
			told = true
			fmt.Fprintf(r.s.err, "the connection to the log of %s is lost; going on when the server is back\n", r.of.pod.Name)
		}
		r.skip = r.same
		if !r.last.IsZero() {
			r.request.Since, r.request.Tail = r.last, nil
		}
		sleep(ctx, 200*time.Millisecond)
	}
}

// cutOff tells an end of the connection from an end of the log.
func cutOff(err error) bool {
	var silent *silentNode
	return errors.Is(err, bus.ErrStreamLost) || errors.Is(err, bus.ErrNoServer) || errors.Is(err, bus.ErrUnreachable) ||
		errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &silent)
}

// once reads until the log or the connection ends.
func (r *logReading) once(ctx context.Context) error {
	stream, err := r.s.dialNode(ctx, r.of.pod, wire.NodeLogs, r.request)
	if err != nil {
		return err
	}
	defer stream.Close()
	r.began = true
	cut := lines{emit: r.line}
	for {
		f, err := stream.Recv(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read the log of %s: %w", r.of.pod.Name, err)
		case f.Channel == wire.Failed:
			return errors.Join(cut.end(), failedFrame(f.Data))
		}
		if err := r.take(&cut, f.Data); err != nil {
			return err
		}
	}
}

// take passes on what needs no cutting as it is: a log may be no text.
func (r *logReading) take(cut *lines, data []byte) error {
	if r.request.Follow || r.out.whole || r.out.prefix {
		return cut.take(data)
	}
	if _, err := r.out.to.Write(data); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

func (r *logReading) line(text []byte) error {
	if !r.request.Follow {
		return r.out.line(r.head, text)
	}
	stamp, rest, ok := bytes.Cut(text, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if ok && err == nil {
		if at.Equal(r.last) && r.skip > 0 {
			r.skip--
			return nil
		}
		if !at.Equal(r.last) {
			r.last, r.same, r.skip = at, 0, 0
		}
		r.same++
		if !r.stamps {
			text = rest
		}
	}
	if r.left >= 0 && int64(len(text)) >= r.left {
		return errors.Join(r.out.line(r.head, text[:r.left]), errEnough)
	}
	if r.left >= 0 {
		r.left -= int64(len(text))
	}
	return r.out.line(r.head, text)
}
