package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netns"
)

// requests makes one request after another on new connections, through a ClusterIP over
// TCP and UDP, through a node port from another machine, and to the name server, while the
// cluster's process is killed, restarted and upgraded in turns, until there are enough of
// them and each of the three has happened. None may fail:
//
//	requests FEW MANY PAGE ECHO PORT DNS    FEW requests, or MANY with STAVE_SOAK; the files hold two
//	                                        addresses with ports, a node port and an address
func requests(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 6 {
		ts.Fatalf("usage: requests FEW MANY PAGE ECHO PORT DNS")
	}
	wanted, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	if os.Getenv("STAVE_SOAK") != "" {
		wanted, err = strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
	}
	in := func(i int) string { return strings.TrimSpace(ts.ReadFile(args[i])) }
	page, echo, port, names := in(2), in(3), in(4), net.JoinHostPort(in(5), "53")
	ns, here := otherMachine(ts)
	b := &barrage{stop: make(chan struct{}), slowest: map[string]time.Duration{}, made: map[string]int{}}
	outside := net.JoinHostPort(here, port)
	ts.Check(soon(func() error { _, err := pageFrom(ns, outside, ""); return err })) // the dataplane sees the new link a moment later
	for range 3 {
		b.start("page", "", func(int) error { return askPage(page) })
	}
	b.start("echo", "", func(i int) error { return askEcho(echo, i) })
	b.start("node port", ns, func(int) error { return askPage(outside) })
	b.start("name", "", func(int) error { return askName(names, "page.default.svc.cluster.local.") })
	err = b.disturb(ts, wanted)
	close(b.stop)
	b.workers.Wait()
	ts.Logf("%d requests %v, %d failed; the slowest took %v", b.total.Load(), b.made, b.failed, b.slowest)
	if b.failed > 0 {
		ts.Logf("when the first failed the machine had these routes:\n%s", b.routes)
	}
	ts.Check(errors.Join(append(b.failures, err)...))
}

// soon tries until something works, or for half a minute.
func soon(f func() error) error {
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

// barrage is the requests under way.
type barrage struct {
	stop    chan struct{}
	workers sync.WaitGroup
	total   atomic.Int64

	mu       sync.Mutex
	made     map[string]int
	slowest  map[string]time.Duration
	failed   int
	failures []error // the first of them
	routes   []byte  // of the machine, when the first failed
}

// disturb ends the cluster's process and starts it again until enough requests were made.
func (b *barrage) disturb(ts *testscript.TestScript, wanted int64) error {
	d := &deadly{ts: ts}
	d.copyBinary()
	const own, copied = 1, 0 // rise has the copy in even rounds
	ways := []struct {
		name   string
		how    syscall.Signal
		binary int
	}{{"killed", syscall.SIGKILL, own}, {"restarted", syscall.SIGTERM, own}, {"upgraded", syscall.SIGTERM, copied}}
	for i := 0; i < len(ways) || b.total.Load() < wanted; i++ {
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		way := ways[i%len(ways)]
		if err := die(ts.Getenv("CLUSTER"), way.how); err != nil {
			return fmt.Errorf("round %d, %s: %w", i+1, way.name, err)
		}
		if err := d.rise(way.binary); err != nil {
			return fmt.Errorf("round %d, %s: %w", i+1, way.name, err)
		}
		b.mu.Lock()
		failed := b.failed
		b.mu.Unlock()
		if failed > 0 {
			return fmt.Errorf("in round %d, when the process was %s, or before: %d of %d requests failed", i+1, way.name, failed, b.total.Load())
		}
	}
	return nil
}

// start makes requests of one kind until the end, from this network namespace or from one
// with a name.
func (b *barrage) start(kind, ns string, request func(i int) error) {
	b.workers.Go(func() {
		if ns != "" {
			runtime.LockOSThread() // never unlocked: the thread belongs to the namespace and ends with the goroutine
			h, err := netns.GetFromName(ns)
			if err == nil {
				err = netns.Set(h)
			}
			if err != nil {
				b.note(kind, 0, err)
				return
			}
		}
		for i := 0; ; i++ {
			select {
			case <-b.stop:
				return
			default:
			}
			began := time.Now()
			err := request(i)
			b.note(kind, time.Since(began), err)
		}
	})
}

func (b *barrage) note(kind string, took time.Duration, err error) {
	b.total.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made[kind]++
	b.slowest[kind] = max(b.slowest[kind], took.Round(time.Millisecond))
	if err == nil {
		return
	}
	if b.failed++; b.failed == 1 {
		b.routes, _ = exec.Command("ip", "-4", "route").CombinedOutput()
	}
	if b.failed <= 10 {
		b.failures = append(b.failures, fmt.Errorf("%s at %s after %s: %w", kind, time.Now().Format("15:04:05.000"), took, err))
	}
}

// patience is how long an answer may take on a machine that does much else.
const patience = time.Minute

// askPage fetches a page over a connection of its own. It is closed by a reset: tens of
// thousands of ports that wait for late packets would leave none.
func askPage(address string) error {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.SetDeadline(time.Now().Add(patience))); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\nHost: page\r\n\r\n"); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return errors.New(r.Status)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// askEcho sends one datagram from a connected socket of its own, and takes only the answer
// to it.
func askEcho(address string, i int) error {
	c, err := net.DialTimeout("udp", address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "number %d", i); err != nil {
		return err
	}
	buf := make([]byte, 200)
	n, err := c.Read(buf)
	if err == nil && !strings.HasSuffix(string(buf[:n]), fmt.Sprintf(" says number %d", i)) {
		return fmt.Errorf("number %d is answered by %q", i, buf[:n])
	}
	return err
}

// askName looks a name up as resolvers do: while nobody answers, or somebody who does not
// know yet, it asks again. The agent itself is the name server, and is away for a moment.
func askName(server, name string) error {
	to, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		return err
	}
	c, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return err
	}
	defer c.Close()
	question := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
	raw, err := question.Pack()
	if err != nil {
		return err
	}
	err = errors.New("nobody answered")
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var answer *mdns.Msg
		if answer, err = askOnce(c, to, raw); err != nil {
			continue
		}
		if answer.Rcode == mdns.RcodeServerFailure {
			err = errors.New("the name server does not know yet")
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if answer.Id != question.Id || answer.Rcode != mdns.RcodeSuccess || len(answer.Answer) != 1 {
			return fmt.Errorf("answer to %s: %v", name, answer)
		}
		time.Sleep(5 * time.Millisecond) // names are a part of the load, not most of it
		return nil
	}
	return err
}

func askOnce(c net.PacketConn, to net.Addr, question []byte) (*mdns.Msg, error) {
	if _, err := c.WriteTo(question, to); err != nil {
		return nil, err
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	buf := make([]byte, 1500)
	n, _, err := c.ReadFrom(buf)
	if err != nil {
		return nil, err
	}
	answer := new(mdns.Msg)
	return answer, answer.Unpack(buf[:n])
}
