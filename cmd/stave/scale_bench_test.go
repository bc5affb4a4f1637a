package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// scaled is a whole cluster in the benchmark's process: the durable log, fold, writer, door, Kubernetes API and feed as
// `stave up` starts them, and hollow nodes in the place of this machine's own.
type scaled struct {
	*cluster
	b *testing.B
	s *session

	isDown bool
}

func scaledUp(b *testing.B, dir string, nodes int) *scaled {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("a cluster needs root")
	}
	sweepKilled()
	name := "scale" + strconv.Itoa(os.Getpid()%10000)
	up := &upCmd{Listen: "127.0.0.1:0", PodCIDR: "10.128.0.0/13", ServiceCIDR: "10.119.0.0/16", NodeGrace: 40 * time.Second, Hollow: nodes}
	up.Kube = true
	up.Pretend.Prefix = "h-"
	up.Pretend.Capacity = map[string]string{"cpu": "64", "memory": "256Gi", "pods": "250"}
	up.Pretend.Zones = 10
	ctx := context.Background()
	c := &cluster{layout: layout{name, dir, filepath.Join(runDir, name)}, rooms: newRooms(quiet())}
	it := &scaled{cluster: c, b: b}
	b.Cleanup(it.down) // also when it fails: before its directory goes
	say := func(string, ...any) {}
	for _, step := range []func(context.Context, *upCmd, func(string, ...any)) error{
		c.takeLock, c.gather, c.openLog, c.fold, c.openChain, c.decide, c.bootstrap, c.openVault, c.openDoor, c.openKube, c.feed, c.clean, c.startHollow,
	} {
		if err := step(ctx, up, say); err != nil {
			b.Fatal(err)
		}
	}
	cred, err := jetstream.LoadCredential(jetstream.CredentialPath(c.layout.credentials(), personName))
	if err != nil {
		b.Fatal(err)
	}
	client, err := jetstream.Dial(ctx, jetstream.DialOptions{URL: c.server.Address(), Credential: cred})
	if err != nil {
		b.Fatal(err)
	}
	s := newSession(ctx, globals{RequestTimeout: time.Minute}, &terminal{})
	s.wires, s.user, s.hangUp = client, cred.User, client.Close
	it.s = s
	return it
}

// sweepKilled takes away what benchmarks that were killed have left in the machine's directory.
func sweepKilled() {
	locks, _ := filepath.Glob(filepath.Join(runDir, "scale*.lock"))
	for _, lock := range locks {
		l := layout{run: strings.TrimSuffix(lock, ".lock")}
		f, err := l.tryLock()
		if err != nil {
			continue // it runs
		}
		_ = os.RemoveAll(l.run)
		_ = l.unlock(f)
	}
}

// down takes all of it away; once is enough.
func (c *scaled) down() {
	if c.isDown {
		return
	}
	c.isDown = true
	if c.s != nil {
		c.s.close()
	}
	if err := c.stop(); err != nil {
		c.b.Error(err)
	}
	_ = os.Remove(c.layout.lockFile())
	_ = os.RemoveAll(c.layout.run)
}

// apply asks as people do.
func (c *scaled) apply(manifests ...string) {
	c.b.Helper()
	var items []wire.Item
	for _, m := range manifests {
		items = append(items, wire.Item{Object: json.RawMessage(m)})
	}
	results, err := c.s.change(context.Background(), wire.ChangeRequest{Operation: wire.Apply, Items: items, Message: "benchmark"})
	if err != nil {
		c.b.Fatal(err)
	}
	for _, r := range results {
		if err := refused(r.Error); err != nil {
			c.b.Fatal(err)
		}
	}
}

// ready waits until a deployment has all its pods ready, as everybody sees it.
func (c *scaled) ready(name string, replicas int32) {
	c.b.Helper()
	k := events.Key{Resource: events.Deployments, Namespace: "default", Name: name}
	done := make(chan struct{}, 1)
	look := func(v projections.State) {
		if o, ok := v.Get(k); !ok || o.Tally.Ready != int(replicas) {
			return // what follows costs more than the change that is looked at
		}
		if st := deploymentStatus(v, k); st.ReadyReplicas == replicas && st.UpdatedReplicas == replicas {
			select {
			case done <- struct{}{}:
			default:
			}
		}
	}
	stop := c.view.OnDurable(func(v projections.State, _ events.Envelope, changes []projections.Change) {
		for _, ch := range changes {
			if ch.Key == k {
				look(v)
			}
		}
	})
	defer stop()
	look(c.view.Durable())
	select {
	case <-done:
	case err := <-c.failed:
		c.b.Fatal(err)
	case <-time.After(5 * time.Minute):
		c.b.Fatalf("deployment %s never has %d ready pods", name, replicas)
	}
}

func deploymentJSON(name string, replicas int, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%q,"namespace":"default"},"spec":{"replicas":%d,
		"selector":{"matchLabels":{"app":%q}},"strategy":{"rollingUpdate":{"maxSurge":"25%%","maxUnavailable":"25%%"}},
		"template":{"metadata":{"labels":{"app":%q}},"spec":{%s"containers":[{"name":"c","image":"nginx:1","ports":[{"containerPort":80}],
		"resources":{"requests":{"cpu":"100m","memory":"64Mi"}}}]}}}}`, name, replicas, name, name, spec)
}

func serviceJSON(name string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":%q,"namespace":"default"},"spec":{"selector":{"app":%q},"ports":[{"port":80}]}}`, name, name)
}

func spentCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMB is the resident memory of this process.
func residentMB() float64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// heap is what the runtime knows of the heap.
func heap() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// BenchmarkScale is one deployment from the wish to the last ready pod, behind a service, with somebody who watches it; and
// the same with the pretended nodes in a process of their own, so that CPU and memory are the control plane's alone.
func BenchmarkScale(b *testing.B) {
	for _, size := range []struct{ pods, nodes int }{{5000, 100}, {50000, 1000}} {
		for _, where := range []string{"", ",apart"} {
			b.Run(fmt.Sprintf("pods=%d/nodes=%d%s", size.pods, size.nodes, where), func(b *testing.B) {
				for b.Loop() {
					within := size.nodes
					if where != "" {
						within = 0
					}
					c := scaledUp(b, b.TempDir(), within)
					end := c.apart(size.nodes - within)
					c.rollOut(size.pods)
					if size.pods >= 50_000 {
						c.rest()
					}
					end()
					c.down()
				}
			})
		}
	}
}

// rollOut measures one deployment.
func (c *scaled) rollOut(pods int) {
	b := c.b
	stop := c.watch(wire.WatchRequest{ReadRequest: wire.ReadRequest{Resource: events.Deployments, Namespace: "default"}})
	c.apply(serviceJSON("web"))
	runtime.GC()
	began, busy, made := time.Now(), spentCPU(), heap().TotalAlloc
	c.apply(deploymentJSON("web", pods, ""))
	c.ready("web", int32(pods))
	took := time.Since(began)
	b.ReportMetric(float64(pods)/took.Seconds(), "pods/s")
	b.ReportMetric((spentCPU()-busy).Seconds()*1000/float64(pods), "cpu-ms/pod")
	b.ReportMetric(float64(heap().TotalAlloc-made)/1000/float64(pods), "alloc-kB/pod")
	b.ReportMetric(residentMB(), "rss-MB")
	runtime.GC()
	b.ReportMetric(float64(heap().HeapAlloc)/(1<<20), "live-MB")
	b.ReportMetric(float64(heap().StackInuse)/(1<<20), "stack-MB")
	stop()
}

// rest measures what is resident when nothing has happened for a while: the pace has given back what was free.
func (c *scaled) rest() {
	time.Sleep(paceFor + restAfter + 5*time.Second)
	c.b.ReportMetric(residentMB(), "rest-MB")
}

// apart has `stave node hollow` pretend so many nodes in a process of its own; for none it does nothing.
func (c *scaled) apart(nodes int) (end func()) {
	c.b.Helper()
	if nodes == 0 {
		return func() {}
	}
	file := filepath.Join(c.b.TempDir(), "kubeconfig")
	if _, err := writeDoor(file, c.layout.name, kubeDoor{}, door{Address: c.server.Address(), Credential: jetstream.CredentialPath(c.layout.credentials(), personName)}); err != nil {
		c.b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		c.b.Fatal(err)
	}
	cmd := exec.Command(self, "node", "hollow", strconv.Itoa(nodes), "--kubeconfig", file, "--prefix=h-", "--capacity=cpu=64,memory=256Gi,pods=250", "--zones=10")
	cmd.Args[0], cmd.Stderr = "stave", os.Stderr // by this name TestMain is the CLI
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.b.Fatal(err)
	}
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()                       // how it ends is nobody's concern
	}
	c.b.Cleanup(end) // also when it fails
	if said, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		c.b.Fatalf("stave node hollow said %q: %v", said, err)
	}
	return end
}

// watch reads a watch to its end.
func (c *scaled) watch(req wire.WatchRequest) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := c.s.dial(ctx, wire.Subject(c.s.user, wire.VerbWatch), req)
	if err != nil {
		c.b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := stream.Recv(ctx); err != nil {
				return
			}
		}
	}()
	return func() { cancel(); <-done; _ = stream.Close() }
}

// BenchmarkOnePod is a deployment of one pod from the wish to Ready, on an idle cluster and beside a rollout of 30,000.
func BenchmarkOnePod(b *testing.B) {
	c := scaledUp(b, b.TempDir(), 300)
	one := 0
	round := func() float64 {
		one++
		name := "one" + strconv.Itoa(one)
		began := time.Now()
		c.apply(deploymentJSON(name, 1, ""))
		c.ready(name, 1)
		return time.Since(began).Seconds() * 1000
	}
	for range 10 {
		round()
	}
	var idle, beside []float64
	for b.Loop() {
		idle = append(idle, round())
	}
	b.ReportMetric(quantile(idle, 0.5), "ms-p50")
	b.ReportMetric(quantile(idle, 0.99), "ms-p99")
	c.apply(deploymentJSON("big", 30000, ""))
	for {
		st := deploymentStatus(c.view.Durable(), events.Key{Resource: events.Deployments, Namespace: "default", Name: "big"})
		if st.ReadyReplicas == 30000 {
			break
		}
		beside = append(beside, round())
	}
	b.ReportMetric(quantile(beside, 0.5), "ms-p50-beside")
	b.ReportMetric(quantile(beside, 1), "ms-max-beside")
	b.ReportMetric(float64(len(beside)), "rounds-beside")
}

func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(float64(len(all))*q))]
}

func deploymentStatus(v projections.State, k events.Key) appsv1.DeploymentStatus {
	o, ok := v.Object(k, time.Now())
	if !ok {
		return appsv1.DeploymentStatus{}
	}
	return o.(*appsv1.Deployment).Status
}

func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
