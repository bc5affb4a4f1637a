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

	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// logOf reads a whole log: what is sealed in a directory, or a file of envelopes.
func logOf(path string) ([]events.Envelope, error) {
	at, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var log []events.Envelope
	if at.IsDir() {
		log, err = sealedIn(path)
	} else {
		log, err = written(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return gapless(log)
}

// sealedIn reads an archive, a log's directory, or the directory of a cluster.
func sealedIn(dir string) (log []events.Envelope, err error) {
	for _, below := range []string{"segments", "log/segments"} {
		where := filepath.Join(dir, below)
		if _, err := os.Stat(where); err != nil {
			continue
		}
		var damaged error
		a, err := segment.Open(where, func(line string) { damaged = errors.Join(damaged, errors.New(line)) })
		if err == nil {
			err = damaged
		}
		if err != nil {
			return nil, err
		}
		_, last := a.Bounds()
		err = a.Read(context.Background(), 1, last, func(e events.Envelope) error { log = append(log, e); return nil })
		return log, err
	}
	return nil, errors.New("no segments lie there: 'stave log archive DIR' makes a directory that has all, or 'stave down' seals what there is")
}

// written reads what 'stave replay --into' wrote.
func written(path string) (log []events.Envelope, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var e wire.TailEvent
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return log, nil
		} else if err != nil {
			return nil, err
		}
		log = append(log, e.Envelope())
	}
}

// gapless fills recorded gaps with events that say nothing. A log that was cut
// cannot be gone on from: what came before is needed.
func gapless(log []events.Envelope) ([]events.Envelope, error) {
	if len(log) == 0 || log[0].Seq != 1 {
		return nil, errors.New("the log does not begin at 1: take an archive from before it was cut")
	}
	var out []events.Envelope
	for _, e := range log {
		for missing := events.Seq(len(out)) + 1; missing < e.Seq; missing++ {
			out = append(out, events.Envelope{Seq: missing, Time: e.Time, Subject: "log.gap", Type: "log.gap", Version: 1})
		}
		out = append(out, e)
	}
	return out, nil
}
