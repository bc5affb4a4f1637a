package main

import (
	"errors"
	"fmt"
	"io"
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
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: !keep}}
		l.done.Add(1)
		go l.run(client, url)
	}
	loads.Store(ts, l)
	ts.Defer(func() { _ = l.end() })
}

func (l *load) run(client *http.Client, url string) {
	defer l.done.Done()
	defer client.CloseIdleConnections()
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		err := fetch(client, url)
		l.mu.Lock()
		l.requests++
		if err != nil {
			l.failures = append(l.failures, fmt.Errorf("request %d at %s: %w", l.requests, time.Now().Format("15:04:05.000"), err))
		}
		l.mu.Unlock()
	}
}

func fetch(client *http.Client, url string) error {
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return errors.New(r.Status)
	}
	return nil
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

// calm ends the load; it fails when one request did.
func calm(ts *testscript.TestScript, _ bool, _ []string) {
	v, ok := loads.Load(ts)
	if !ok {
		ts.Fatalf("no load is on")
	}
	l := v.(*load)
	ts.Check(l.end())
	ts.Logf("%d requests, 0 failed", l.requests)
}
