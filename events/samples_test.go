package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is an event as a log holds it. The files are frozen: an event that was
// written once is read for ever. A new version gets new files beside them.
type sample struct {
	Subject Subject         `json:"subject"`
	Headers [][2]string     `json:"headers"`
	Body    json.RawMessage `json:"body"`
}

// shapes are the bodies by the last word of the type; types that belong to no
// verb are listed whole.
var shapes = map[string]func() any{
	VerbCreated: func() any { return &Created{} }, VerbChanged: func() any { return &Changed{} },
	VerbDeletionRequested: func() any { return &DeletionRequested{} }, VerbRemoved: func() any { return &Removed{} },
	VerbStatus: func() any { return &StatusReported{} }, VerbStatusWritten: func() any { return &StatusWritten{} }, VerbVerdict: func() any { return &Verdict{} },
	VerbResized:        func() any { return &Resized{} },
	string(LeaseTaken): func() any { return &Lease{} }, string(HistoryCut): func() any { return &Cut{} }, string(TemplateStored): func() any { return &json.RawMessage{} },
	string(ChangeAsked): func() any { return &Asked{} }, string(PodsAssigned): func() any { return &Assigned{} }, string(PodsSeen): func() any { return &Seen{} },
	string(TypeOf(Nodes, VerbStatus)):        func() any { return &NodeReported{} },
	string(TypeOf(Jobs, VerbStatus)):         func() any { return &JobReported{} },
	string(TypeOf(StatefulSets, VerbStatus)): func() any { return &RevisionsReported{} },
	string(TypeOf(Autoscalers, VerbStatus)):  func() any { return &ScalerReported{} },
}

func shapeOf(t Type) (func() any, bool) {
	if f, ok := shapes[string(t)]; ok {
		return f, true
	}
	f, ok := shapes[t.Verb()]
	return f, ok
}

func (s sample) envelope(t *testing.T) Envelope {
	t.Helper()
	e := Envelope{Subject: s.Subject, Body: s.Body}
	headers := map[string]string{}
	for _, h := range s.Headers {
		headers[h[0]] = h[1]
	}
	if err := e.FromHeaders(func(name string) string { return headers[name] }); err != nil {
		t.Fatal(err)
	}
	return e
}

func samples(t *testing.T) map[string]sample {
	t.Helper()
	files, err := filepath.Glob("testdata/v*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	out := map[string]sample{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var s sample
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, s.Body); err != nil {
			t.Fatal(err)
		}
		s.Body = compact.Bytes()
		out[f] = s
	}
	return out
}

// Every sample reads, and what was read writes the same bytes again.
func TestSamplesComeBackToTheByte(t *testing.T) {
	for file, s := range samples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			e := s.envelope(t)
			shape, ok := shapeOf(e.Type)
			if !ok {
				t.Fatalf("no shape for %s", e.Type)
			}
			body, err := Upcast(e.Type, e.Version, e.Body)
			if err != nil {
				t.Fatal(err)
			}
			v := shape()
			d := json.NewDecoder(bytes.NewReader(body))
			d.DisallowUnknownFields() // a renamed field must not pass for an unset one
			if err := d.Decode(v); err != nil {
				t.Fatal(err)
			}
			if have := MustBody(v); !bytes.Equal(have, s.Body) {
				t.Errorf("body:\nhave %s\nwant %s", have, s.Body)
			}
			var have [][2]string
			for _, h := range e.Headers() {
				have = append(have, [2]string{h.Name, h.Value})
			}
			if a, b := MustBody(have), MustBody(s.Headers); !bytes.Equal(a, b) {
				t.Errorf("headers:\nhave %s\nwant %s", a, b)
			}
		})
	}
}

func TestEveryShapeHasASample(t *testing.T) {
	have := map[string]bool{}
	for _, s := range samples(t) {
		e := s.envelope(t)
		have[string(e.Type)], have[e.Type.Verb()] = true, true
	}
	for name := range shapes {
		if !have[name] {
			t.Errorf("no frozen sample of %s", name)
		}
	}
}

// The subject of each sample says whom the event is about, with the words that
// its type has.
func TestSubjectsOfSamples(t *testing.T) {
	for file, s := range samples(t) {
		e := s.envelope(t)
		switch e.Subject.Class() {
		case "spec", "status", "verdict":
			k, err := e.Subject.Key()
			if err != nil || !strings.HasPrefix(string(e.Type), string(k.Resource)+".") {
				t.Errorf("%s: %s is about %v, %v", file, e.Type, k, err)
			}
		case "template":
			if h, err := e.Subject.Tail(); err != nil || HashOf(e.Body) != Hash(h) {
				t.Errorf("%s: stored as %s, its hash is %s", file, h, HashOf(e.Body))
			}
		case "change":
			if id, err := e.Subject.Tail(); err != nil || ChangeID(id) != e.Change {
				t.Errorf("%s: the subject is of %q, the event of %q", file, id, e.Change)
			}
		case "assign", "seen", "lease", "cut":
		default:
			t.Errorf("%s: class %q", file, e.Subject.Class())
		}
	}
}

func TestUpcast(t *testing.T) {
	body := json.RawMessage(`{"uid":"u"}`)
	for _, version := range []int{0, 1} {
		if have, err := Upcast("pods.removed", version, body); err != nil || !bytes.Equal(have, body) {
			t.Errorf("version %d: %s, %v", version, have, err)
		}
	}
	for _, version := range []int{Version + 1, -1} {
		_, err := Upcast("pods.removed", version, body)
		var newer *NewerError
		if !errors.As(err, &newer) || newer.Version != version || !strings.Contains(err.Error(), "pods.removed") {
			t.Errorf("version %d: %v", version, err)
		}
		if _, err := Decode[Removed](Envelope{Type: "pods.removed", Version: version, Body: body}); !errors.As(err, &newer) {
			t.Errorf("decode version %d: %v", version, err)
		}
	}
}
