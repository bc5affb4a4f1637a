package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// load is a steady stream of requests through a service: one kept connection,
// and a new one for every other request.
type load struct {
	stop     chan struct{}
	done     sync.WaitGroup
	mu       sync.Mutex
	requests int
	failures []error
	dials    int // of who keeps its connection
	closes   int // announced to it by the server
}

// loads are the scripts' loads under way.
var loads sync.Map

// steady starts a load and leaves it on until calm:
//
//	steady FILE    the file holds the URL
func steady(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: steady FILE")
	}
	url := strings.TrimSpace(ts.ReadFile(args[0]))
	l := &load{stop: make(chan struct{})}
	for _, keep := range []bool{true, false} {
		transport := &http.Transport{DisableKeepAlives: !keep}
		if keep {
			transport.DialContext, transport.MaxConnsPerHost = l.dial, 1
		}
		client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
		l.done.Add(1)
		go l.run(client, url, keep)
	}
	loads.Store(ts, l)
	ts.Defer(func() { _ = l.end() })
}

// dial counts: a kept connection that breaks between two requests is replaced
// without a word by the client.
func (l *load) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	l.dials++
	l.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (l *load) run(client *http.Client, url string, kept bool) {
	defer l.done.Done()
	defer client.CloseIdleConnections()
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		last, err := fetch(client, url)
		l.mu.Lock()
		l.requests++
		if kept && last {
			l.closes++
		}
		if err != nil {
			l.failures = append(l.failures, fmt.Errorf("request %d at %s: %w", l.requests, time.Now().Format("15:04:05.000"), err))
		}
		l.mu.Unlock()
	}
}

// fetch says whether the server has called it the connection's last request.
func fetch(client *http.Client, url string) (last bool, err error) {
	r, err := client.Get(url)
	if err != nil {
		return false, err
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return false, err
	}
	if r.StatusCode != http.StatusOK {
		return r.Close, errors.New(r.Status)
	}
	return r.Close, nil
}

func (l *load) end() error {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests == 0 {
		return errors.New("the load made no request")
	}
	return errors.Join(l.failures...)
}

// calm ends the load; it fails when one request did:
//
//	calm [kept]    also when the kept connection broke, but for the server's own ends
func calm(ts *testscript.TestScript, _ bool, args []string) {
	v, ok := loads.Load(ts)
	if !ok {
		ts.Fatalf("no load is on")
	}
	l := v.(*load)
	ts.Check(l.end())
	ts.Logf("%d requests, 0 failed; the kept connection was made %d times, ended %d times by the server", l.requests, l.dials, l.closes)
	if len(args) == 1 && args[0] == "kept" && l.dials > l.closes+1 {
		ts.Fatalf("the kept connection broke %d times", l.dials-l.closes-1)
	}
}
