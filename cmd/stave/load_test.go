package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
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

	// All are of who keeps its connection, and that goroutine's until done.
	kept   *keptConn
	closes int // announced to it by the server
	broke  []error
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
	address, err := dialled(url)
	ts.Check(err)
	l.done.Go(func() { l.run(func() error { return l.ask(address, url) }) })
	fresh := &http.Client{Timeout: answerPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	l.done.Go(func() { l.run(func() error { return fetch(fresh, url) }) })
	loads.Store(ts, l)
	ts.Defer(func() { _ = l.end() })
}

// answerPatience is how long a request may take.
const answerPatience = 5 * time.Second

// dialled is what a URL's host is dialled as.
func dialled(of string) (string, error) {
	u, err := url.Parse(of)
	if err != nil || u.Port() != "" {
		return u.Host, err
	}
	return net.JoinHostPort(u.Hostname(), "80"), nil
}

// keptConn is a connection that is used again and again. It is not an http.Client's, which closes a sound one and says
// nothing when its goroutines have to wait for a processor, and says nothing of one that broke either.
type keptConn struct {
	net.Conn
	answers *bufio.Reader
}

// ask makes a request on the kept connection, or on a new one where that has broken meanwhile or there is none.
func (l *load) ask(address, url string) error {
	if l.kept != nil {
		err := l.askKept(url)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		l.broke = append(l.broke, fmt.Errorf("the kept connection broke at %s: %w", time.Now().Format("15:04:05.000"), err))
	}
	conn, err := net.DialTimeout("tcp", address, answerPatience)
	if err != nil {
		return err
	}
	l.kept = &keptConn{conn, bufio.NewReader(conn)}
	return l.askKept(url)
}

func (l *load) askKept(url string) error {
	last, err := l.kept.get(url)
	if last {
		l.closes++
	}
	if last || err != nil {
		err = errors.Join(err, l.kept.Close())
		l.kept = nil
	}
	return err
}

// get says whether the server has called it the connection's last request.
func (k *keptConn) get(url string) (last bool, err error) {
	q, err := http.NewRequest(http.MethodGet, url, nil)
	if err == nil {
		err = k.SetDeadline(time.Now().Add(answerPatience))
	}
	if err == nil {
		err = q.Write(k)
	}
	if err != nil {
		return false, err
	}
	r, err := http.ReadResponse(k.answers, q)
	if err != nil {
		return false, err
	}
	return r.Close, sound(r)
}

func (l *load) run(request func() error) {
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		err := request()
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
	return sound(r)
}

// sound reads an answer to its end.
func sound(r *http.Response) error {
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
	if l.kept != nil {
		_ = l.kept.Close()
		l.kept = nil
	}
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
	ts.Logf("%d requests, 0 failed; the kept connection was ended %d times by the server, and broke %d times", l.requests, l.closes, len(l.broke))
	if len(args) == 1 && args[0] == "kept" {
		ts.Check(errors.Join(l.broke...))
	}
}
