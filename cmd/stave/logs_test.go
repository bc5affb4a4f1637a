package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/gateway/wire"
)

func testReading(out *logOutput, pod, container string, follow bool) *logReading {
	of := source{pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod}}, container: container}
	return &logReading{out: out, of: of, request: wire.LogsRequest{Follow: follow}, head: out.head(of), left: -1}
}

// TestLogLinesStayWhole cuts several logs into random pieces and mixes them.
func TestLogLinesStayWhole(t *testing.T) {
	var b bytes.Buffer
	out := &logOutput{to: &b, prefix: true, whole: true, pods: map[string]string{}}
	var running sync.WaitGroup
	for p := range 5 {
		running.Go(func() {
			r := testReading(out, fmt.Sprint("p", p), "c", false)
			cut := lines{emit: r.line}
			var text strings.Builder
			for i := range 200 {
				fmt.Fprintf(&text, "%d-%d %s\n", p, i, strings.Repeat("x", rand.IntN(40)))
			}
			text.WriteString("no end")
			for rest := text.String(); rest != ""; {
				n := min(len(rest), 1+rand.IntN(30))
				if err := r.take(&cut, []byte(rest[:n])); err != nil {
					t.Error(err)
				}
				rest = rest[n:]
			}
			if err := cut.end(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	next := map[byte]int{}
	for line := range strings.Lines(b.String()) {
		p := line[len("[pod/p")]
		want := fmt.Sprintf("[pod/p%c/c] %c-%d ", p, p, next[p])
		if next[p] == 200 {
			want = fmt.Sprintf("[pod/p%c/c] no end\n", p)
		}
		if !strings.HasPrefix(line, want) || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%q is broken, want %q…", line, want)
		}
		next[p]++
	}
	for p, n := range next {
		if n != 201 {
			t.Errorf("p%c has %d lines", p, n)
		}
	}
}

// TestLongLineIsCut holds back no more than the bound.
func TestLongLineIsCut(t *testing.T) {
	var got []int
	cut := lines{emit: func(l []byte) error { got = append(got, len(l)); return nil }}
	for range maxLine/1000 + 10 {
		if err := cut.take(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cut.end(); err != nil || len(got) != 2 || got[0] < maxLine || got[0] > maxLine+1000 {
		t.Errorf("pieces of %v, %v", got, err)
	}
}

// TestLogGoesOnAfterBreak gives the lines of one moment again, as an agent does
// that is asked for all since that moment.
func TestLogGoesOnAfterBreak(t *testing.T) {
	var b bytes.Buffer
	r := testReading(&logOutput{to: &b}, "p", "c", true)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	line := func(d time.Duration, text string) string {
		return at.Add(d).Format(time.RFC3339Nano) + " " + text + "\n"
	}
	give := func(text ...string) {
		cut := lines{emit: r.line}
		if err := cut.take([]byte(strings.Join(text, ""))); err != nil {
			t.Fatal(err)
		}
	}
	give(line(0, "one"), line(1, "two"), line(1, "three"))
	r.skip = r.same
	give(line(1, "two"), line(1, "three"), line(1, "four"), line(2, "five"), line(2, "six"))
	r.skip = r.same
	give(line(2, "five"), line(2, "six"))
	r.skip = r.same
	give(line(3, "seven")) // what was before has been rotated away
	if want := "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// TestLogLimit counts what is printed, not what is asked for.
func TestLogLimit(t *testing.T) {
	var b bytes.Buffer
	r := testReading(&logOutput{to: &b}, "p", "c", true)
	r.left = 7
	err := r.line([]byte("2026-01-02T03:04:05Z four\n"))
	if err == nil {
		err = r.line([]byte("2026-01-02T03:04:06Z more\n"))
	}
	if !errors.Is(err, errEnough) || b.String() != "four\nmo" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// TestLogColours gives each pod its own, and none without a terminal.
func TestLogColours(t *testing.T) {
	out := &logOutput{prefix: true, colour: true, pods: map[string]string{}}
	a, b := testReading(out, "a", "c", false), testReading(out, "b", "c", false)
	again := testReading(out, "a", "d", false)
	if string(a.head) != "\x1b[36m[pod/a/c]\x1b[0m " || bytes.Equal(a.head[:5], b.head[:5]) || !bytes.Equal(a.head[:5], again.head[:5]) {
		t.Errorf("%q %q %q", a.head, b.head, again.head)
	}
	if plain := testReading(&logOutput{prefix: true}, "a", "c", false); string(plain.head) != "[pod/a/c] " {
		t.Errorf("%q", plain.head)
	}
}
