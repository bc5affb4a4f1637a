package logfile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 60, time.UTC)
	for _, c := range []struct {
		raw  string
		want Line
		bad  bool
	}{
		{raw: "2026-01-02T15:04:05.000000060Z stdout F hello  world\n", want: Line{At: at, Stream: Stdout, Text: []byte("hello  world")}},
		{raw: "2026-01-02T15:04:05.000000060Z stderr P half", want: Line{At: at, Stream: Stderr, Partial: true, Text: []byte("half")}},
		{raw: "2026-01-02T15:04:05.000000060Z stdout F \n", want: Line{At: at, Stream: Stdout, Text: []byte{}}},
		{raw: "2026-01-02T15:04:05.000000060Z stdout P:more x\n", want: Line{At: at, Stream: Stdout, Partial: true, Text: []byte("x")}},
		{raw: "2026-01-02T17:04:05.00000006+02:00 stdout F x\n", want: Line{At: at, Stream: Stdout, Text: []byte("x")}},
		{raw: "", bad: true},
		{raw: "yesterday stdout F x\n", bad: true},
		{raw: "2026-01-02T15:04:05.000000060Z stdout\n", bad: true},
	} {
		got, err := Parse([]byte(c.raw))
		if c.bad {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("Parse(%q) = %v, want ErrFormat", c.raw, err)
			}
			continue
		}
		if err != nil || !got.At.Equal(c.want.At) || got.Stream != c.want.Stream || got.Partial != c.want.Partial || string(got.Text) != string(c.want.Text) {
			t.Errorf("Parse(%q) = %+v, %v", c.raw, got, err)
		}
	}
}

func TestAppendParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Line{
			At:      time.Unix(0, rapid.Int64Range(0, 1<<61).Draw(t, "at")).UTC(),
			Stream:  rapid.SampledFrom([]string{Stdout, Stderr}).Draw(t, "stream"),
			Partial: rapid.Bool().Draw(t, "partial"),
			Text:    []byte(strings.ReplaceAll(rapid.String().Draw(t, "text"), "\n", "")),
		}
		got, err := Parse(Append(nil, want))
		if err != nil || !got.At.Equal(want.At) || got.Stream != want.Stream || got.Partial != want.Partial || string(got.Text) != string(want.Text) {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
	})
}

// TestSplit holds split to its contract: whatever the chunks, the entries give the output back, in lines where it has
// lines, and none is longer than MaxLine.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 7, MaxLine - 1, MaxLine, MaxLine + 1, 2*MaxLine + 3}), 0, 5).Draw(t, "lengths")
		var out strings.Builder
		for i, n := range lengths {
			out.WriteString(strings.Repeat(string(rune('a'+i)), n))
			if i < len(lengths)-1 || rapid.Bool().Draw(t, "end") {
				out.WriteByte('\n')
			}
		}
		var got strings.Builder
		var held []byte
		emit := func(text []byte, partial bool) {
			if len(text) > MaxLine || partial && len(text) == 0 {
				t.Fatalf("entry of %d bytes, partial %v", len(text), partial)
			}
			got.Write(text)
			if !partial {
				got.WriteByte('\n')
			}
		}
		for rest := out.String(); rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			held = split(held, []byte(rest[:n]), emit)
			rest = rest[n:]
		}
		if got.String()+string(held) != out.String() {
			t.Fatalf("%d bytes became %d", out.Len(), got.Len()+len(held))
		}
	})
}

// TestSplitFullLine keeps a line of exactly MaxLine whole.
func TestSplitFullLine(t *testing.T) {
	var entries int
	held := split(nil, []byte(strings.Repeat("x", MaxLine)+"\ny"), func(text []byte, partial bool) {
		entries++
		if partial || len(text) != MaxLine {
			t.Errorf("entry of %d bytes, partial %v", len(text), partial)
		}
	})
	if entries != 1 || string(held) != "y" {
		t.Errorf("%d entries, %q held", entries, held)
	}
}

func TestPath(t *testing.T) {
	if got := Path("/var/log/pods", "default", "web-0", "u1", "nginx", 2); got != "/var/log/pods/default_web-0_u1/nginx/2.log" {
		t.Error(got)
	}
}
