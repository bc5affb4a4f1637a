package projections_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The samples in testdata are a whole log of the first version, the state that
// it was folded to, and the checkpoint of that state. They are never written
// again: events are for ever, so today's program must make the same of them.

// sample reads a log: an event a line, as it travels.
func sample(t *testing.T, path string) []events.Envelope {
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log []events.Envelope
	for n, row := range bytes.Split(bytes.TrimSpace(raw), []byte("\n")) {
		var line struct {
			Subject events.Subject
			Seq     events.Seq
			Time    time.Time
			Headers []events.Header
			Body    json.RawMessage
		}
		if err := json.Unmarshal(row, &line); err != nil {
			t.Fatalf("%s:%d: %v", path, n+1, err)
		}
		e := events.Envelope{Subject: line.Subject, Seq: line.Seq, Time: line.Time, Body: line.Body}
		err := e.FromHeaders(func(name string) string {
			for _, h := range line.Headers {
				if h.Name == name {
					return h.Value
				}
			}
			return ""
		})
		if err != nil {
			t.Fatalf("%s:%d: %v", path, n+1, err)
		}
		log = append(log, e)
	}
	return log
}

func TestOldestLogStillFolds(t *testing.T) {
	s := refold(sample(t, "testdata/log.v1.jsonl"), projections.Empty())
	stillSays(t, s.Dump(), "testdata/log.v1.dump.json")
	if s.Unknown != 0 || s.Void == 0 {
		t.Errorf("%d unknown and %d void events: the sample has none and some", s.Unknown, s.Void)
	}
}

func TestOldestCheckpointStillRestores(t *testing.T) {
	for version := 1; version <= projections.KeptVersion; version++ {
		b, err := os.ReadFile(fmt.Sprintf("testdata/checkpoint.v%d.cbor", version))
		if err != nil {
			t.Fatal(err)
		}
		s, err := projections.Restore(version, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		stillSays(t, s.Dump(), fmt.Sprintf("testdata/log.v%d.dump.json", version))
	}
}

// stillSays holds that a dump has everything that the frozen one has, with the
// same value. It may have more: rows learn new fields.
func stillSays(t *testing.T, dump []byte, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(dump, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	if at := differs("", want, got); at != "" {
		t.Errorf("%s: what is folded today differs %s", path, at)
	}
}

// differs is the first place where want is not found in got.
func differs(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		have, _ := got.(map[string]any)
		for k, v := range want {
			if found := differs(at+"."+k, v, have[k]); found != "" {
				return found
			}
		}
		return ""
	case []any:
		have, _ := got.([]any)
		if len(have) != len(want) {
			return fmt.Sprintf("at %s: %d entries, want %d", at, len(have), len(want))
		}
		for i := range want {
			if found := differs(fmt.Sprintf("%s[%d]", at, i), want[i], have[i]); found != "" {
				return found
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("at %s: %v, want %v", at, got, want)
	}
	return ""
}
