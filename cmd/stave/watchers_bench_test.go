package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// How many watch, and how many changes they are told of in a benchmark's round.
const (
	watchers    = 1000
	watchedEach = 20
)

// heard collects how long what was sent took to everybody, in milliseconds.
type heard struct {
	mu   sync.Mutex
	sent []time.Time // by number
	took []float64
	more chan struct{}
}

// sentAs finds the number that a change bears.
var sentAs = regexp.MustCompile(`"sent":"(\d+)"`)

// note takes a line or frame that a watcher got.
func (h *heard) note(line []byte) {
	found := sentAs.FindSubmatch(line)
	if found == nil {
		return
	}
	n, _ := strconv.Atoi(string(found[1]))
	h.mu.Lock()
	h.took = append(h.took, float64(time.Since(h.sent[n]).Microseconds())/1000)
	all := len(h.took)
	h.mu.Unlock()
	if all%watchers == 0 {
		h.more <- struct{}{}
	}
}

// BenchmarkWatchers is a change from the wish until each of a thousand watchers has it, through either door.
func BenchmarkWatchers(b *testing.B) {
	for name, open := range map[string]func(*scaled, *heard){"live": liveWatcher, "kube": kubeWatcher} {
		b.Run(name, func(b *testing.B) {
			c := scaledUp(b, b.TempDir(), 0)
			h := &heard{more: make(chan struct{}, 1)}
			for range watchers {
				open(c, h)
			}
			for b.Loop() {
				for range watchedEach {
					h.mu.Lock()
					n := len(h.sent)
					h.sent = append(h.sent, time.Now())
					h.mu.Unlock()
					c.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"watched","namespace":"default"},"data":{"sent":"%d"}}`, n))
					<-h.more
				}
			}
			b.ReportMetric(quantile(h.took, 0.5), "ms-p50")
			b.ReportMetric(quantile(h.took, 0.99), "ms-p99")
		})
	}
}

// liveWatcher watches as `stave get -w` does.
func liveWatcher(c *scaled, h *heard) {
	stream, err := c.s.dial(context.Background(), wire.Subject(c.s.user, wire.VerbWatch), wire.WatchRequest{ReadRequest: wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default"}})
	if err != nil {
		c.b.Fatal(err)
	}
	go func() {
		for {
			f, err := stream.Recv(context.Background())
			if err != nil {
				return // the cluster is down
			}
			h.note(f.Data)
		}
	}()
}

// kubeWatcher watches as kubectl does, over a connection of its own.
func kubeWatcher(c *scaled, h *heard) {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(c.kube.Authority)
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		c.b.Fatal("no authority", err)
	}
	pair, err := tls.LoadX509KeyPair(c.kube.Person.Certificate, c.kube.Person.Key)
	if err != nil {
		c.b.Fatal(err)
	}
	own := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
	r, err := own.Get(c.kube.Server + "/api/v1/namespaces/default/configmaps?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan")
	if err != nil {
		c.b.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(r.Body)
		c.b.Fatalf("%s: %s", r.Status, why)
	}
	go func() {
		defer r.Body.Close()
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			h.note(lines.Bytes())
		}
	}()
}

// BenchmarkFirstRow is `stave get pods` of ten thousand, from the start of the verb to its first row and to its last.
func BenchmarkFirstRow(b *testing.B) {
	const pods = 10_000
	c := scaledUp(b, b.TempDir(), 100)
	c.apply(deploymentJSON("web", pods, ""))
	c.ready("web", pods)
	var first, last []float64
	for b.Loop() {
		out := &firstWrite{began: time.Now()}
		c.s.terminal.out = out
		if err := (&getCmd{What: []string{"pods"}, ChunkSize: 500}).Run(b.Context(), c.s); err != nil {
			b.Fatal(err)
		}
		if out.lines != pods+1 {
			b.Fatalf("%d lines", out.lines)
		}
		first, last = append(first, out.first.Seconds()*1000), append(last, time.Since(out.began).Seconds()*1000)
	}
	b.ReportMetric(quantile(first, 0.5), "ms-first")
	b.ReportMetric(quantile(last, 0.5), "ms-last")
}

// firstWrite knows when something first came out.
type firstWrite struct {
	began time.Time
	first time.Duration
	lines int
}

// Write implements io.Writer.
func (w *firstWrite) Write(p []byte) (int, error) {
	if w.first == 0 {
		w.first = time.Since(w.began)
	}
	for _, c := range p {
		if c == '\n' {
			w.lines++
		}
	}
	return len(p), nil
}
