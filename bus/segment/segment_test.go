package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func pod(n int) events.Key {
	return events.Key{Resource: events.Pods, Namespace: "default", Name: fmt.Sprint("p", n)}
}

// many is a log of n events about ten pods and a node.
func many(first, n int) []events.Envelope {
	var out []events.Envelope
	for i := range n {
		seq := events.Seq(first + i)
		e := events.Envelope{Subject: events.SpecSubject(pod(i % 10)), Seq: seq, Time: start.Add(time.Duration(seq) * time.Second), Type: "pods.changed", Version: 1,
			Actor: "user:ann", Cause: seq - 1, Epoch: 1, Now: start, Op: events.OpID(fmt.Sprint(seq)), Message: "two\nlines", Body: []byte(fmt.Sprintf(`{"n":%d}`, seq))}
		switch i % 7 {
		case 3:
			e.Subject, e.Type = events.SeenSubject("n1"), events.PodsSeen
			e.Body = events.MustBody(events.Seen{Pods: []events.PodSeen{{Namespace: "default", Name: "p3", UID: "u"}}})
		case 5:
			e.Type = "pods.created"
			e.Body = events.MustBody(events.Created{Object: []byte(`{}`), Owner: &events.Owner{Resource: events.ReplicaSets, Name: "rs"}})
		}
		out = append(out, e)
	}
	return out
}

func archive(t testing.TB, dir string, parts ...[]events.Envelope) *Archive {
	t.Helper()
	a, err := Open(dir, func(line string) { t.Error(line) })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if err := a.Seal(p); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func read(t testing.TB, a *Archive, from, to events.Seq) []events.Envelope {
	t.Helper()
	var out []events.Envelope
	if err := a.Read(t.Context(), from, to, func(e events.Envelope) error { out = append(out, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// What was sealed is read as it was, from anywhere, also by a later process.
func TestReadsWhatWasSealed(t *testing.T) {
	all := many(5, 2000)
	dir := t.TempDir()
	archive(t, dir, all[:700], all[700:701], all[701:])
	a := archive(t, dir)
	if first, last := a.Bounds(); first != 5 || last != 2004 {
		t.Errorf("%d to %d", first, last)
	}
	for _, at := range [][2]int{{0, 2000}, {1, 3}, {255, 258}, {699, 702}, {1999, 2000}, {10, 10}} {
		got := read(t, a, events.Seq(at[0]+5), events.Seq(at[1]+4))
		if !reflect.DeepEqual(got, slices.Clone(all[at[0]:at[1]])) && len(got)+at[1]-at[0] != 0 {
			t.Errorf("%v: %d events, or others than were sealed", at, len(got))
		}
	}
	var got []events.Envelope
	want := []events.Seq{5, 6, 300, 704, 705, 706, 2004, 9999}
	if err := a.At(t.Context(), want, func(e events.Envelope) error { got = append(got, e); return nil }); err != nil {
		t.Fatal(err)
	}
	for i, e := range got {
		if e.Seq != want[i] || !reflect.DeepEqual(e, all[e.Seq-5]) {
			t.Errorf("event %d is %+v", want[i], e)
		}
	}
	if len(got) != len(want)-1 {
		t.Errorf("%d events of %d", len(got), len(want)-1)
	}
	if err := a.Verify(t.Context(), func(int, int) {}, func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

// The index names every event that speaks of an object, and few others.
func TestFindsWhatSpeaksOfAnObject(t *testing.T) {
	all := many(1, 3000)
	a := archive(t, t.TempDir(), all[:1000], all[1000:])
	var memory Index
	for _, e := range all {
		memory.Note(e)
	}
	for _, k := range []events.Key{pod(3), pod(7), {Resource: events.Nodes, Name: "n1"}, {Resource: events.ReplicaSets, Namespace: "default", Name: "rs"}, pod(99)} {
		var want []events.Seq
		for _, e := range all {
			if slices.Contains(events.About(e), k) {
				want = append(want, e.Seq)
			}
		}
		got, err := a.Find(k)
		if err != nil || !slices.Equal(got, want) || !slices.Equal(memory.Find(k), want) {
			t.Errorf("%s: %d found, %d in memory, %d there are, %v", k, len(got), len(memory.Find(k)), len(want), err)
		}
	}
	memory.Drop(2000)
	if got := memory.Find(pod(7)); len(got) == 0 || got[0] <= 2000 {
		t.Errorf("after dropping: %v", got)
	}
}

func TestEncodingKeepsEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := events.Envelope{Seq: events.Seq(rapid.Uint64().Draw(t, "seq")), Time: time.Unix(0, rapid.Int64().Draw(t, "time")).UTC(),
			Subject: events.Subject(rapid.String().Draw(t, "subject")), Type: "t", Version: 1, Message: rapid.String().Draw(t, "message"),
			Cause: 7, Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body")}
		d := decoder{rest: string(encode(nil, e))}
		got, ok := d.next()
		if !ok || !bytes.Equal(got.Body, e.Body) {
			t.Fatalf("%+v, %v", got, d.err)
		}
		got.Body, e.Body = nil, nil
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v\nwas %+v", got, e)
		}
		cut := decoder{rest: string(encode(nil, e))}
		cut.rest = cut.rest[:rapid.IntRange(1, len(cut.rest)-1).Draw(t, "cut")]
		if _, ok := cut.next(); ok {
			t.Fatal("half an event is taken")
		}
	})
}

// A file that is not what was written is named: by verify, and by whoever would
// be served from it.
func TestDamageIsNamedAndNeverServed(t *testing.T) {
	all := many(1, 1500)
	for what, spoil := range map[string]func(b []byte) []byte{
		"flipped in a block":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"flipped in the head": func(b []byte) []byte { b[bytes.Index(b, []byte(`"count"`))+8] ^= 1; return b },
		"flipped at the end":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"truncated":           func(b []byte) []byte { return b[:len(b)*2/3] },
		"empty":               func(b []byte) []byte { return nil },
		"no head":             func(b []byte) []byte { return b[:40] },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			archive(t, dir, all[:500], all[500:1000], all[1000:])
			at := path(dir, 501, 1000)
			b, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			b0 := bytes.Clone(b)
			if err := os.WriteFile(at, spoil(b), 0o600); err != nil {
				t.Fatal(err)
			}
			a, said := opened(t, dir)
			if len(said) != 1 || !strings.Contains(said[0], at) || !strings.Contains(said[0], "damaged") {
				t.Errorf("said %q", said)
			}
			if first, last := a.Bounds(); first != 1001 || last != 1500 {
				t.Errorf("%d to %d are served", first, last)
			}
			// One that is damaged while it is in service is named by its reader.
			if err := os.WriteFile(at, b0, 0o600); err != nil {
				t.Fatal(err)
			}
			a = archive(t, dir)
			if err := os.WriteFile(at, spoil(bytes.Clone(b0)), 0o600); err != nil {
				t.Fatal(err)
			}
			var found []error
			if err := a.Verify(t.Context(), func(int, int) {}, func(err error) { found = append(found, err) }); err != nil {
				t.Fatal(err)
			}
			var d *sealed.DamageError
			if len(found) != 1 || !errors.As(found[0], &d) || d.Path != at {
				t.Errorf("found %v", found)
			}
			err = a.Read(t.Context(), 1, 1500, func(e events.Envelope) error {
				if !reflect.DeepEqual(e, all[e.Seq-1]) {
					t.Errorf("event %d is served as %+v", e.Seq, e)
				}
				return nil
			})
			if err != nil && !errors.As(err, &d) {
				t.Errorf("not named: %v", err)
			}
		})
	}
}

func opened(t *testing.T, dir string) (*Archive, []string) {
	t.Helper()
	var said []string
	a, err := Open(dir, func(line string) { said = append(said, line) })
	if err != nil {
		t.Fatal(err)
	}
	return a, said
}

// Whatever is damaged or missing goes on where another copy of the log has the
// events: verified by the chain in between, sealed anew at the end.
func TestMending(t *testing.T) {
	all := many(1, 1200)
	parts := [][]events.Envelope{all[:300], all[300:600], all[600:900], all[900:]}
	spoil := func(t *testing.T, dir string, i int) {
		if err := os.Truncate(path(dir, parts[i][0].Seq, parts[i][len(parts[i])-1].Seq), 100); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, dir string, i int) {
		if err := os.Remove(path(dir, parts[i][0].Seq, parts[i][len(parts[i])-1].Seq)); err != nil {
			t.Fatal(err)
		}
	}
	type how = func(*testing.T, string, int)
	for name, c := range map[string]struct {
		what  map[int]how
		from  events.Seq // the copy begins
		other bool       // and is of another log
		first events.Seq // what is in service then
	}{
		"the newest":                    {map[int]how{3: spoil}, 1, false, 1},
		"the newest, just in the copy":  {map[int]how{3: spoil}, 901, false, 1},
		"the newest, not in the copy":   {map[int]how{3: spoil}, 902, false, 0},
		"one between":                   {map[int]how{1: spoil}, 301, false, 1},
		"one between, not in the copy":  {map[int]how{1: spoil}, 302, false, 601},
		"one between, of another log":   {map[int]how{1: spoil}, 1, true, 601},
		"one missing":                   {map[int]how{2: remove}, 1, false, 1},
		"the oldest":                    {map[int]how{0: spoil}, 1, false, 1},
		"the oldest missing":            {map[int]how{0: remove}, 1, false, 1},
		"the oldest missing everywhere": {map[int]how{0: remove}, 301, false, 301},
		"two side by side":              {map[int]how{1: spoil, 2: spoil}, 1, false, 1},
		"two apart":                     {map[int]how{0: spoil, 2: spoil}, 1, false, 1},
		"two apart, one in the copy":    {map[int]how{0: spoil, 2: spoil}, 301, false, 301},
		"one between and the newest":    {map[int]how{1: spoil, 3: spoil}, 1, false, 1},
		"all":                           {map[int]how{0: spoil, 1: spoil, 2: spoil, 3: spoil}, 1, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			archive(t, dir, parts...)
			for i, do := range c.what {
				do(t, dir, i)
			}
			a, _ := opened(t, dir)
			_, err := a.Mend(c.from, func(from, to events.Seq) ([]events.Envelope, error) {
				log := slices.Clone(all[from-1 : to])
				if c.other {
					log[0].Actor = "user:mallory"
				}
				return log, nil
			})
			first, last := a.Bounds()
			if err != nil || first != c.first {
				t.Fatalf("it begins at %d, %v", first, err)
			}
			if c.first != 1 && (c.first != 0 || c.from > 1) {
				return
			}
			if err := a.Seal(all[last:]); err != nil && last < 1200 {
				t.Fatal(err)
			}
			if got := read(t, archive(t, dir), 1, 1200); !reflect.DeepEqual(got, all) {
				t.Errorf("%d events after mending", len(got))
			}
		})
	}
}

// A copy takes what it has not, and nothing of another log or behind a hole.
func TestCopying(t *testing.T) {
	all := many(1, 900)
	other := slices.Clone(all)
	other[10].Actor = "user:mallory"
	cut := t.TempDir()
	if err := archive(t, cut, all[:300], all[300:600], all[600:]).Cut(601); err != nil {
		t.Fatal(err)
	}
	whole := t.TempDir()
	archive(t, whole, all[:300], all[300:600], all[600:])
	for name, c := range map[string]struct {
		from    string
		there   [][]events.Envelope
		copied  int
		refused string
	}{
		"into nothing":               {whole, nil, 3, ""},
		"what was added":             {whole, [][]events.Envelope{all[:300]}, 2, ""},
		"nothing is new":             {whole, [][]events.Envelope{all[:300], all[300:600], all[600:]}, 0, ""},
		"parted otherwise":           {whole, [][]events.Envelope{all[:300], all[300:500]}, 0, "other events from 301 to 500"},
		"another log":                {whole, [][]events.Envelope{other[:300]}, 0, "another log"},
		"another log, further":       {whole, [][]events.Envelope{other}, 0, "another log"},
		"behind the cut":             {cut, [][]events.Envelope{all[:300], all[300:600]}, 1, ""},
		"behind the cut of another":  {cut, [][]events.Envelope{other[:300], other[300:600]}, 0, "another one"},
		"there is a hole before it":  {cut, [][]events.Envelope{all[:300]}, 0, "cut off before it was archived"},
		"a log that was cut, afresh": {cut, nil, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, _ := opened(t, c.from)
			copied, err := from.CopyTo(t.Context(), archive(t, dir, c.there...))
			var foreign *ForeignError
			if errors.As(err, &foreign) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) || copied != c.copied {
				t.Errorf("%d copied, %v", copied, err)
			}
			if _, said := opened(t, dir); len(said) > 0 {
				t.Errorf("then %q", said)
			}
		})
	}
}

// A segment of a later version is not taken for a damaged one, and left alone.
func TestALaterVersion(t *testing.T) {
	all := many(1, 600)
	dir := t.TempDir()
	archive(t, dir, all[:300])
	h, body := build("", all[300:])
	if err := sealed.Write(path(dir, 301, 600), kind, version+1, h, body); err != nil {
		t.Fatal(err)
	}
	var newer *sealed.VersionError
	if _, err := Open(dir, func(line string) { t.Error(line) }); !errors.As(err, &newer) || newer.Path != path(dir, 301, 600) {
		t.Errorf("opened with %v", err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 2 || strings.Contains(strings.Join(left, " "), "refused") {
		t.Errorf("left %v", left)
	}
}

// A segment that is missing, or was put in another's place, breaks the chain.
func TestTheChainHolds(t *testing.T) {
	all := many(1, 900)
	dir := t.TempDir()
	archive(t, dir, all[:300], all[300:600], all[600:])
	if err := os.Remove(path(dir, 301, 600)); err != nil {
		t.Fatal(err)
	}
	a, said := opened(t, dir)
	if first, _ := a.Bounds(); len(said) != 1 || !strings.Contains(said[0], "the events 301 to 600 before it are missing") || first != 601 {
		t.Errorf("one is missing: %q, from %d", said, first)
	}
	other := slices.Clone(all)
	other[10].Actor = "user:mallory"
	forged := t.TempDir()
	archive(t, forged, other[:300], other[300:600], other[600:])
	b, err := os.ReadFile(path(forged, 301, 600))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(dir, 301, 600), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, said := opened(t, dir); len(said) != 2 || !strings.Contains(said[0], "does not follow") {
		t.Errorf("one of another log: %q", said)
	}
}

func TestSealingAndCutting(t *testing.T) {
	all := many(1, 900)
	dir := t.TempDir()
	a := archive(t, dir, all[:300], all[300:600], all[600:])
	if err := a.Seal(all[800:]); err == nil {
		t.Error("sealed twice")
	}
	if err := a.Cut(601); err != nil {
		t.Fatal(err)
	}
	if first, last := archive(t, dir).Bounds(); first != 601 || last != 900 {
		t.Errorf("%d to %d are left", first, last)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// A reader that begins below what is left is told so, and reads over no hole.
func TestReadBelowTheCut(t *testing.T) {
	all := many(1, 900)
	a := archive(t, t.TempDir(), all[:300], all[300:600], all[600:])
	if err := a.Cut(301); err != nil {
		t.Fatal(err)
	}
	err := a.Read(t.Context(), 300, 900, func(e events.Envelope) error {
		t.Fatalf("read %d", e.Seq)
		return nil
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("from before the cut: %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	all := many(1, 32768)
	a := archive(b, b.TempDir(), all)
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := a.Read(b.Context(), 1, 32768, func(events.Envelope) error { n++; return nil }); err != nil || n != len(all) {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(b.N)*float64(len(all))/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if _, err := a.Find(pod(3)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
