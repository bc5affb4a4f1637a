package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
)

// replayCmd is `stave replay`.
type replayCmd struct {
	From    moment  `help:"Begin at this moment: a sequence, a time or so long ago; the log's beginning when not given." placeholder:"MOMENT"`
	To      moment  `help:"End with this moment; the log's end when not given." placeholder:"MOMENT"`
	Speed   float64 `help:"Keep the time between the events: 1 as it was, 10 ten times as fast; 0 does not wait." default:"0" placeholder:"N"`
	Into    string  `help:"Write whole envelopes into this new directory, one a line of events.jsonl." placeholder:"DIR" xor:"where"`
	JSON    bool    `name:"json" help:"Print whole envelopes, one a line." xor:"where"`
	Publish string  `help:"Publish whole envelopes on replay.USER.NAME.SUBJECT, for programs that subscribe to it." placeholder:"NAME" xor:"where"`
	Check   bool    `help:"Decide every recorded decision of the stretch again with this program, and list those that would be different." xor:"where"`
}

// Help implements kong's detailed help.
func (replayCmd) Help() string {
	return `Plays a stretch of the log again, as lines, as envelopes, to a file, or to whoever
subscribes. With --check this program's own reconcilers decide again what the log
says was decided, each on the view and at the time that it had: run it with a new
version against an old cluster to see what the upgrade would do otherwise. A
stretch, and a log that was cut, begin with the state that the server kept from
just before. Exit code 1 when something would be different.

Examples:
  stave replay --from 10m
  stave replay --from 400 --to 500 --json
  stave replay --from 2026-01-02T15:04:05Z --speed 10
  stave replay --from 1h --into incident/
  stave replay --check
  stave replay --check --from 2h

A case: what one change led to, in the first milliseconds.
  $ stave replay --from 25 --to 28
  25  22:05:10.524  user:admin             configmaps.changed            changed configmap/settings in namespace shop  # dearer tea
  26  22:05:10.524  user:admin             deployments.apps.changed      changed deployment/web in namespace shop  # dearer tea
  27  22:05:10.572  reconciler:deployment  templates.stored              stored a pod template  cause=26
  28  22:05:10.572  reconciler:deployment  replicasets.apps.created      created replicaset/web-8fdbfc674 in namespace shop  cause=26`
}

// Run plays the stretch.
func (c *replayCmd) Run(ctx context.Context, s *session) error {
	if c.Speed < 0 {
		return errors.New("--speed must not be below 0")
	}
	switch {
	case c.Check:
		return c.check(ctx, s)
	case c.Into != "":
		return c.write(ctx, s)
	}
	return c.read(ctx, s, func(e wire.TailEvent, raw []byte) error {
		switch {
		case c.Publish != "":
			subject := "replay." + s.user + "." + c.Publish + "." + string(e.Subject)
			if err := s.wires.Publish(bus.Message{Subject: subject, Body: raw}); err != nil {
				return fmt.Errorf("publish %d: %w", e.Seq, err)
			}
		case c.JSON:
			fmt.Fprintln(s.out, string(raw))
		default:
			fmt.Fprintln(s.out, tailLine(e))
		}
		return nil
	})
}

// read gives every event of the stretch, at its pace.
func (c *replayCmd) read(ctx context.Context, s *session, f func(wire.TailEvent, []byte) error) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	from := c.From.Moment
	if from.IsZero() {
		from = wire.Moment{Time: time.Unix(1, 0)} // before any log: where it begins
	}
	if err := s.tellOlder(ctx, from); err != nil {
		return err
	}
	return c.readFrom(ctx, s, from, f)
}

func (c *replayCmd) readFrom(ctx context.Context, s *session, from wire.Moment, f func(wire.TailEvent, []byte) error) error {
	stream, err := s.dial(ctx, wire.Subject(s.user, wire.VerbTail), wire.TailRequest{Since: from})
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	defer stream.Close()
	var pace pace
	for {
		frame, err := stream.Recv(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read the log: %w", err)
		case frame.Channel == wire.Failed:
			return failedFrame(frame.Data)
		}
		var e wire.TailEvent
		if err := json.Unmarshal(frame.Data, &e); err != nil {
			return fmt.Errorf("decode event: %w", err)
		}
		if c.past(e) {
			return nil
		}
		pace.wait(ctx, e.Time, c.Speed)
		if err := f(e, frame.Data); err != nil {
			return err
		}
	}
}

// past tells whether an event lies behind the stretch.
func (c *replayCmd) past(e wire.TailEvent) bool {
	if to := c.To.Moment; to.Seq != 0 {
		return e.Seq > to.Seq
	}
	return !c.To.IsZero() && e.Time.After(c.To.Time)
}

// pace keeps the time between events.
type pace struct{ began, first time.Time }

func (p *pace) wait(ctx context.Context, t time.Time, speed float64) {
	if p.began.IsZero() {
		p.began, p.first = time.Now(), t
	}
	if speed > 0 {
		due := p.began.Add(time.Duration(float64(t.Sub(p.first)) / speed))
		sleep(ctx, time.Until(due))
	}
}

func (c *replayCmd) write(ctx context.Context, s *session) (err error) {
	if err := os.MkdirAll(c.Into, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	cluster, err := ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{})
	if err != nil {
		return err
	}
	path, n, progress := filepath.Join(c.Into, "events.jsonl"), 0, s.slowly()
	err = writeNew(path, func(out io.Writer) error {
		return c.read(ctx, s, func(e wire.TailEvent, raw []byte) error {
			if n++; progress != nil {
				progress("writing", int(e.Seq), int(cluster.Durable))
			}
			_, err := out.Write(append(raw, '\n'))
			return err
		})
	})
	if err != nil {
		return brokenOff(fmt.Errorf("write %s: %w", path, err), fmt.Sprintf("%s was not written: %d events would have been only a part", path, n))
	}
	fmt.Fprintf(s.out, "%d events in %s\n", n, path)
	return nil
}

// writeNew makes a file that is not there yet, whole or not at all: half of it could be taken for all.
func writeNew(path string, fill func(io.Writer) error) (err error) {
	if there, err := exists(path); err != nil || there {
		return errors.Join(err, syscall.EEXIST)
	}
	half := path + ".half"
	file, err := os.OpenFile(half, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // one may be left of a process that was killed
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	if err = errors.Join(fill(out), out.Flush(), file.Sync(), file.Close()); err == nil {
		err = os.Rename(half, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(half))
	}
	return nil
}
