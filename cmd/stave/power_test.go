package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stave-run/stave/bus/jetstream"
)

// power takes the power from a server again and again, while people apply and
// others watch, and starts it anew:
//
//	power FEW MANY    FEW rounds, or MANY with STAVE_SOAK
//
// After each: what was acknowledged is there, and so is what anybody was shown, by
// get, by a watch, on the live feed. The values of config maps only grow, so that
// an older one is a loss.
func power(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: power FEW MANY")
	}
	rounds, err := strconv.Atoi(args[0])
	ts.Check(err)
	if os.Getenv("STAVE_SOAK") != "" {
		rounds, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	seed := rand.Uint64()
	ts.Logf("seed %d", seed)
	c := &cutting{deadly: &deadly{ts: ts, random: rand.New(rand.NewPCG(seed, 0))}, shown: map[string]int{}, by: map[string]string{}}
	c.copied, err = os.Executable()
	ts.Check(err)
	c.disk, err = newLossy(ts.MkAbs("disk"), diskSize)
	ts.Check(err)
	ts.Defer(c.end)
	for i := range rounds {
		ts.Check(c.up())
		c.verify(i)
		stop := c.load(i)
		time.Sleep(500*time.Millisecond + time.Duration(c.random.IntN(2500))*time.Millisecond)
		ts.Check(c.disk.cut())
		time.Sleep(100 * time.Millisecond) // the server may notice, and must not lie
		err := die(ts.Getenv("CLUSTER"), syscall.SIGKILL)
		stop()
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			ts.Fatalf("%v", err)
		}
		ts.Check(c.disk.restore())
	}
	ts.Check(c.up())
	c.verify(rounds)
	ts.Logf("%d power cuts: %d values of %d config maps were acknowledged, %d shown; none was lost", rounds, c.acknowledged, len(c.shown), c.seen)
	if c.acknowledged == 0 || c.seen == 0 {
		ts.Fatalf("nothing was acknowledged, or nothing shown")
	}
}

// diskSize is enough for the log and containerd's databases.
const diskSize = 1 << 30

// cutting is one run of power.
type cutting struct {
	*deadly
	disk lossy

	mu           sync.Mutex
	shown        map[string]int // the highest value of each config map that anybody knows of
	by           map[string]string
	acknowledged int
	seen         int
}

// know is called with every value that somebody was told.
func (c *cutting) know(name string, value int, by string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by == "apply" {
		c.acknowledged++
	} else {
		c.seen++
	}
	if value > c.shown[name] {
		c.shown[name], c.by[name] = value, by
	}
}

func (c *cutting) up() error {
	out, err := c.stave(c.copied, "", "up", "--detach", "--name="+c.ts.Getenv("CLUSTER"), "--data-dir="+filepath.Join(c.disk.at, "data"), "--registry-hosts="+c.ts.Getenv("HOSTS"))
	if err != nil {
		return fmt.Errorf("up: %w\n%s", err, out)
	}
	return nil
}

// end takes the cluster off the machine while its disk is there.
func (c *cutting) end() {
	if out, err := c.stave(c.copied, "", "down", "--purge", "--name="+c.ts.Getenv("CLUSTER")); err != nil {
		c.ts.Logf("down: %v\n%s", err, out)
	}
	if err := c.disk.remove(); err != nil {
		c.ts.Logf("remove disk: %v", err)
	}
}

// value is a line that shows a config map of the load.
var value = regexp.MustCompile(`(?m)^(c[0-9]+-[0-9]+) ([0-9]+)$`)

// verify reads what is there after a power cut.
func (c *cutting) verify(round int) {
	out, err := c.stave(c.copied, "", "get", "cm", "-o", `jsonpath={range .items[*]}{.metadata.name} {.data.n}{"\n"}{end}`)
	if err != nil {
		c.ts.Fatalf("after round %d: %v\n%s", round, err, out)
	}
	have := map[string]int{}
	for _, m := range value.FindAllStringSubmatch(out, -1) {
		have[m[1]], _ = strconv.Atoi(m[2]) // digits
	}
	for name, want := range c.shown {
		if have[name] < want {
			c.ts.Fatalf("after round %d: config map %s is at %d, and %s has told of %d", round, name, have[name], c.by[name], want)
		}
	}
	for name, n := range have {
		c.shown[name] = n // what was written and not told is there, too, and the next round goes on from it
	}
}

// appliers and kept are how many apply at a time, and how many config maps each.
const (
	appliers = 3
	kept     = 10
)

// load applies and watches until the returned function is called.
func (c *cutting) load(round int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for a := range appliers {
		next := 0
		for j := range kept {
			next = max(next, c.shown[fmt.Sprintf("c%d-%d", a, j)])
		}
		running.Go(func() { c.applyAll(ctx, a, next) })
	}
	running.Go(func() { c.poll(ctx) })
	running.Go(func() { c.watch(ctx) })
	conn := c.tapped()
	return func() { cancel(); running.Wait(); conn.Close() }
}

// applyAll applies the config maps of one person with ever higher values.
func (c *cutting) applyAll(ctx context.Context, person, n int) {
	told := regexp.MustCompile(`(?m)^configmap/(c[0-9]+-[0-9]+) (created|configured|unchanged)$`)
	for ctx.Err() == nil {
		n++
		var docs strings.Builder
		for j := range kept {
			fmt.Fprintf(&docs, "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: c%d-%d}, data: {n: %q}}\n", person, j, strconv.Itoa(n))
		}
		out, _ := c.stave(c.copied, docs.String(), "apply", "-f", "-", "--request-timeout=3s") // some may be done and some not
		for _, m := range told.FindAllStringSubmatch(out, -1) {
			c.know(m[1], n, "apply")
		}
	}
}

func (c *cutting) poll(ctx context.Context) {
	for ctx.Err() == nil {
		out, err := c.stave(c.copied, "", "get", "cm", "--request-timeout=3s", "-o", `jsonpath={range .items[*]}{.metadata.name} {.data.n}{"\n"}{end}`)
		if err == nil {
			c.read(strings.NewReader(out), "get")
		}
	}
}

func (c *cutting) watch(ctx context.Context) {
	cmd := exec.CommandContext(ctx, c.copied, "get", "cm", "-w", "-o", `jsonpath={.metadata.name} {.data.n}{"\n"}`)
	cmd.Args[0] = "stave"
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.ts.Getenv("KUBECONFIG"), "HOME="+c.ts.Getenv("HOME"))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.ts.Logf("watch: %v", err)
		return
	}
	c.read(out, "a watch")
	_ = cmd.Wait() // it is killed
}

func (c *cutting) read(from io.Reader, by string) {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		if m := value.FindStringSubmatch(lines.Text()); m != nil {
			n, _ := strconv.Atoi(m[2]) // digits
			c.know(m[1], n, by)
		}
	}
}

// tapped listens to the live feed.
func (c *cutting) tapped() *nats.Conn {
	d, _, err := findDoor(globals{Kubeconfig: c.ts.Getenv("KUBECONFIG")})
	c.ts.Check(err)
	cred, err := jetstream.LoadCredential(d.Credential)
	c.ts.Check(err)
	conn, err := nats.Connect(d.Address, nats.UserInfo(cred.User, cred.Password), nats.NoReconnect())
	c.ts.Check(err)
	body := regexp.MustCompile(`"n":"([0-9]+)"`)
	_, err = conn.Subscribe("live.configmaps.default.*", func(m *nats.Msg) {
		if found := body.FindSubmatch(m.Data); found != nil {
			n, _ := strconv.Atoi(string(found[1])) // digits
			c.know(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], n, "the live feed")
		}
	})
	c.ts.Check(err)
	c.ts.Check(conn.Flush())
	return conn
}
