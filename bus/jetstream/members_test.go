package jetstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/bustest"
	"github.com/stave-run/stave/events"
)

// memberEnv makes the test binary a member of a NATS cluster: directory, name,
// client port, and the cluster ports of all members, its own first.
const memberEnv = "STAVE_TEST_LOG_MEMBER"

func memberForever(where string) error {
	var dir, name string
	var port int
	var ports [3]int
	if _, err := fmt.Sscan(where, &dir, &name, &port, &ports[0], &ports[1], &ports[2]); err != nil {
		return err
	}
	var routes []*url.URL
	for _, p := range ports[1:] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: "127.0.0.1:" + strconv.Itoa(p)})
	}
	s, err := server.NewServer(&server.Options{ServerName: name, Host: "127.0.0.1", Port: port, NoSigs: true, MaxPayload: bus.MaxPayload,
		JetStream: true, StoreDir: dir, SyncAlways: true, Routes: routes, Cluster: server.ClusterOpts{Name: "three", Host: "127.0.0.1", Port: ports[0]}})
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return nil
}

// members are three servers in processes of their own.
type members struct {
	t     *testing.T
	where [3]string
	urls  []string
	now   [3]*exec.Cmd
}

func threeMembers(t *testing.T) *members {
	t.Helper()
	m := &members{t: t}
	dir := t.TempDir()
	ports := freePorts(t, 6)
	for i := range m.where {
		m.where[i] = fmt.Sprint(filepath.Join(dir, "m", strconv.Itoa(i)), " m", i, " ", ports[i], " ", ports[3+i], " ", ports[3+(i+1)%3], " ", ports[3+(i+2)%3])
		m.urls = append(m.urls, fmt.Sprint("nats://127.0.0.1:", ports[i]))
		m.start(i)
	}
	return m
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	var held []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held, out = append(held, l), append(out, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range held {
		_ = l.Close() // the members take them
	}
	return out
}

func (m *members) start(i int) {
	m.now[i] = startProcess(m.t, memberEnv, m.where[i])
}

func (m *members) kill(i int) {
	_ = m.now[i].Process.Kill() // -9
	_ = m.now[i].Wait()
}

// join waits for the cluster and opens its log, with a directory of its own.
func (m *members) join() *Log {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	for {
		l, err := Join(ctx, JoinOptions{URL: strings.Join(m.urls, ","), Replicas: 3, Dir: m.t.TempDir(), Warn: func(s string) { m.t.Log(s) }, bounds: &bounds{200, 0, sealBytes, hotBytes}})
		if err == nil {
			m.t.Cleanup(func() {
				if err := l.Close(); err != nil {
					m.t.Error(err)
				}
			})
			return l
		}
		if ctx.Err() != nil {
			m.t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// leader is the member that leads the stream, -1 while none does.
func (m *members) leader(l *Log) int {
	info, err := l.context.StreamInfo(streamName)
	if err != nil || info.Cluster == nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(info.Cluster.Leader, "m"))
	if err != nil {
		return -1
	}
	return n
}

// TestThreeMembers is the conformance suite on a log that three servers keep.
func TestThreeMembers(t *testing.T) {
	m := threeMembers(t)
	admin := m.join()
	bustest.Log(t, func(t *testing.T) bustest.LogUnderTest {
		if err := admin.context.DeleteStream(streamName); err != nil {
			t.Fatal(err)
		}
		one := *m
		one.t = t
		l := one.join()
		return bustest.LogUnderTest{Log: l, Cut: l.purge}
	})
}

func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("STAVE_SOAK") == "" {
		t.Skip("elections take seconds each: part of the soak (STAVE_SOAK=1)")
	}
}

// TestLeadersDie kills the leader of three members again and again while clients
// compare and append: what they were told happened, and nothing else did.
func TestLeadersDie(t *testing.T) {
	soak(t)
	m := threeMembers(t)
	watcher := m.join()
	h := &history{began: time.Now(), asked: map[events.OpID]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var clients sync.WaitGroup
	for n := range 6 {
		l := m.join()
		clients.Go(func() { h.contend(ctx, n, l, events.SeenSubject(contended[n%2].Node)) })
	}
	kills := 0
	for random := rand.New(rand.NewPCG(uint64(h.began.UnixNano()), 3)); ctx.Err() == nil; {
		sleepFor(ctx, time.Duration(3000+random.IntN(4000))*time.Millisecond)
		i := m.leader(watcher)
		if i < 0 || ctx.Err() != nil {
			continue
		}
		kills++
		m.kill(i)
		sleepFor(ctx, time.Duration(random.IntN(6000))*time.Millisecond)
		m.start(i)
	}
	clients.Wait()
	t.Logf("killed %d leaders", kills)
	for end := time.Now().Add(time.Minute); m.leader(watcher) < 0; { // the last one has only just died
		if time.Now().After(end) {
			t.Fatal("no leader within a minute of the last start")
		}
	}
	h.settle(t, watcher)
	h.judge(t)
	if kills < 5 {
		t.Errorf("only %d leaders were killed", kills)
	}
}

func sleepFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
