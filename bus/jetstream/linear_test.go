package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// serverEnv makes the test binary a server for the clients of another process:
// directory and address, until it is killed.
const serverEnv = "STAVE_TEST_LOG_SERVER"

// contended are the nodes whose subjects the clients contend for.
var contended = []Credential{{User: "node-n1", Password: "1", Node: "n1"}, {User: "node-n2", Password: "2", Node: "n2"}}

func serveForever(where string) error {
	dir, listen, _ := strings.Cut(where, " ")
	ctx, cancel := context.WithCancelCause(context.Background())
	_, err := Open(ctx, Options{Dir: dir, Name: "server", Listen: listen, Credentials: contended, Reserve: 1 << 20,
		bounds: &bounds{200, 100, sealBytes, hotBytes}, OnFatal: func(err error) { cancel(err) }})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// wish is one compare-and-append: so many events, expecting that the subject's
// last sequence is a certain one. never is expected by who only wants to know it.
type wish struct {
	subject events.Subject
	expect  events.Seq
	n       int
	op      events.OpID
}

const never events.Seq = 1 << 60

// found is what came of it. Without an answer the log's end tells.
type found struct {
	landed events.Seq // the last of its events; 0: nothing was stored
	have   events.Seq // what was there instead; 0: nobody said
}

// history is what clients did, in the time of one clock.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
	asked map[events.OpID]int // of ops without an answer
	doubt int                 // how many of those landed
}

func (h *history) add(client int, w wish, call time.Time, first events.Seq, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: w, Call: call.Sub(h.began).Nanoseconds(), Return: time.Since(h.began).Nanoseconds()}
	var conflict *bus.ConflictError
	switch {
	case err == nil:
		op.Output = found{landed: first + events.Seq(w.n) - 1}
	case errors.As(err, &conflict):
		op.Output = found{have: conflict.Have}
	default: // nobody knows yet whether it landed, and it may land later
		op.Return = math.MaxInt64
		h.asked[w.op] = len(h.ops)
	}
	h.ops = append(h.ops, op)
}

// settle gives the operations without an answer what the log says of them; one
// that never landed did nothing.
func (h *history) settle(t *testing.T, l bus.Log) {
	t.Helper()
	err := l.Read(t.Context(), 1, func(e events.Envelope) error {
		if i, ok := h.asked[e.Op]; ok {
			if h.ops[i].Output == nil {
				h.doubt++
			}
			h.ops[i].Output = found{landed: e.Seq} // of a batch, the last one stays
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.ops = slices.DeleteFunc(h.ops, func(op porcupine.Operation) bool { return op.Output == nil })
}

// register is the model: the last sequence of one subject.
var register = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		by := map[events.Subject][]porcupine.Operation{}
		for _, op := range all {
			s := op.Input.(wish).subject
			by[s] = append(by[s], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range by {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return events.Seq(0) },
	Step: func(state, input, output any) (bool, any) {
		last, w, got := state.(events.Seq), input.(wish), output.(found)
		if got.landed == 0 {
			return last != w.expect && (got.have == 0 || got.have == last), last
		}
		return last == w.expect && got.landed >= last+events.Seq(w.n), got.landed
	},
}

// judge wants a history that some order of its operations explains, and an order
// of the log that is the order of time over all subjects.
func (h *history) judge(t *testing.T) {
	t.Helper()
	if got := porcupine.CheckOperationsTimeout(register, h.ops, time.Minute); got != porcupine.Ok {
		t.Errorf("an order of these appends that explains what the clients were told: %s", got)
	}
	byCall := slices.SortedFunc(slices.Values(h.ops), func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	byReturn := slices.SortedFunc(slices.Values(h.ops), func(a, b porcupine.Operation) int {
		if a.Return < b.Return {
			return -1
		}
		return 1
	})
	newest, i, landed, refused := events.Seq(0), 0, 0, 0
	for _, op := range byCall {
		for ; byReturn[i].Return < op.Call; i++ {
			newest = max(newest, byReturn[i].Output.(found).landed)
		}
		switch got := op.Output.(found); {
		case got.landed == 0:
			refused++
		case got.landed <= newest:
			t.Errorf("%+v landed at %d, which another had passed before it was asked for", op.Input, got.landed)
			fallthrough
		default:
			landed++
		}
	}
	t.Logf("%d landed, %d of them without an answer; %d were refused", landed, h.doubt, refused)
	if landed < 20 || refused < 5 {
		t.Errorf("%d appends landed and %d were refused: this proves nothing", landed, refused)
	}
}

// A judge that finds nothing proves nothing.
func TestTheModelFindsWhatIsWrong(t *testing.T) {
	at := func(call, back int64, w wish, got found) porcupine.Operation {
		w.subject, w.n = "log.seen.n1", max(w.n, 1)
		return porcupine.Operation{Input: w, Output: got, Call: call, Return: back}
	}
	first := at(1, 2, wish{}, found{landed: 4})
	for name, c := range map[string]struct {
		ops   []porcupine.Operation
		sound bool
	}{
		"one after the other":         {[]porcupine.Operation{first, at(3, 4, wish{expect: 4}, found{landed: 9}), at(5, 6, wish{expect: 4}, found{have: 9})}, true},
		"at once":                     {[]porcupine.Operation{first, at(3, 9, wish{expect: never}, found{have: 9}), at(3, math.MaxInt64, wish{expect: 4}, found{landed: 9})}, true},
		"both won":                    {[]porcupine.Operation{first, at(3, 9, wish{expect: 4}, found{landed: 9}), at(3, 9, wish{expect: 4}, found{landed: 10})}, false},
		"an old value after a new":    {[]porcupine.Operation{first, at(3, 4, wish{expect: 4}, found{landed: 9}), at(5, 6, wish{expect: never}, found{have: 4})}, false},
		"refused what was right":      {[]porcupine.Operation{first, at(3, 4, wish{expect: 4}, found{})}, false},
		"what was lost":               {[]porcupine.Operation{first, at(3, 4, wish{}, found{landed: 5})}, false},
		"sequences that were given":   {[]porcupine.Operation{first, at(3, 4, wish{expect: 4}, found{landed: 3})}, false},
		"a batch over what was there": {[]porcupine.Operation{first, at(3, 4, wish{expect: 4, n: 3}, found{landed: 6})}, false},
	} {
		if got := porcupine.CheckOperations(register, c.ops); got != c.sound {
			t.Errorf("%s: judged %v", name, got)
		}
	}
}

// contend appends to the subjects of a node until ctx ends, each time on what it
// last heard.
func (h *history) contend(ctx context.Context, client int, a bus.Appender, subject events.Subject) {
	random := rand.New(rand.NewPCG(uint64(client), 1))
	var last events.Seq
	for i := 0; ctx.Err() == nil; i++ {
		w := wish{subject: subject, expect: last, n: 1, op: events.OpID(fmt.Sprintf("c%d-%d", client, i))}
		switch random.IntN(8) {
		case 0:
			w.expect = never
		case 1:
			w.n = 2 + random.IntN(4)
		}
		var batch []bus.Record
		for range w.n {
			batch = append(batch, bus.Expecting(events.Envelope{Subject: subject, Type: events.PodsSeen, Version: 1, Op: w.op, Body: []byte(`{}`)}, w.expect))
		}
		call := time.Now()
		asking, cancel := context.WithTimeout(ctx, 2*time.Second)
		first, err := a.Append(asking, batch)
		cancel()
		h.add(client, w, call, first, err)
		var conflict *bus.ConflictError
		switch {
		case err == nil:
			last = first + events.Seq(w.n) - 1
		case errors.As(err, &conflict) && conflict.Have != 0:
			last = conflict.Have
		case errors.Is(err, bus.ErrUnreachable):
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
	}
}

func startServer(t *testing.T, where string) *exec.Cmd { return startProcess(t, serverEnv, where) }

// startProcess runs this test binary as something else, until it is killed.
func startProcess(t *testing.T, env, where string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), env+"="+where)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have been killed before
		_ = cmd.Wait()
	})
	return cmd
}

// TestAppendsAreLinearizable kills the server again and again while clients of
// other processes compare and append, and wants all that they were told to have
// happened at one moment each. With STAVE_SOAK=1 it goes on for minutes.
func TestAppendsAreLinearizable(t *testing.T) {
	long := 5 * time.Second
	if os.Getenv("STAVE_SOAK") != "" {
		long = 3 * time.Minute
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close() // the server takes it
	dir := filepath.Join(t.TempDir(), "log")
	server := startServer(t, dir+" "+address)
	h := &history{began: time.Now(), asked: map[events.OpID]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var clients sync.WaitGroup
	for n := range 6 {
		cred := contended[n%len(contended)]
		c := dialUntil(t, ctx, DialOptions{URL: "nats://" + address, Credential: cred})
		clients.Go(func() { h.contend(ctx, n, c, events.SeenSubject(cred.Node)) })
	}
	kills := 0
	for random := rand.New(rand.NewPCG(uint64(h.began.UnixNano()), 2)); ctx.Err() == nil; kills++ {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(200+random.IntN(1300)) * time.Millisecond):
		}
		_ = server.Process.Kill() // -9
		_ = server.Wait()
		server = startServer(t, dir+" "+address)
	}
	clients.Wait()
	_ = server.Process.Kill()
	_ = server.Wait()
	t.Logf("killed %d times", kills)
	s, err := Open(t.Context(), Options{Dir: dir, Name: "judge", Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h.settle(t, s.Log())
	h.judge(t)
}

func dialUntil(t *testing.T, ctx context.Context, o DialOptions) *Client {
	t.Helper()
	for {
		c, err := Dial(ctx, o)
		if err == nil {
			t.Cleanup(c.Close)
			return c
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
