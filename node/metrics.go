package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
)

// CPU is what was spent between two looks. They are taken when somebody asks, and
// now and then for those who ask later (samples). A look serves as the first one of the
// next question if it is neither too near nor too old.
const (
	shortestWindow = time.Second
	longestWindow  = 30 * time.Second
)

// hostContainer names the node itself among the containers of a look.
const hostContainer = ""

// look is what was read at one moment, by container id; CPU counts since the start.
type look struct {
	at  time.Time
	has map[string]runtime.Stats
}

// meter keeps the latest looks. Its zero value has none.
type meter struct {
	mu     sync.Mutex
	before look // of the answer given last
	after  look
}

// measure answers with two looks that are apart by at least shortestWindow and
// have the same containers; read takes one, and is called twice if need be.
func (m *meter) measure(ctx context.Context, read func() (look, error)) (before, after look, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, err := read()
	if err != nil {
		return before, after, err
	}
	if now.at.Sub(m.before.at) < longestWindow && now.at.Sub(m.after.at) < shortestWindow && covers(m.before, now) {
		return m.before, now, nil // asked again at once
	}
	if age := now.at.Sub(m.after.at); age < shortestWindow || age > longestWindow || !covers(m.after, now) {
		m.after = now
		if err := pause(ctx, shortestWindow); err != nil {
			return before, after, err
		}
		if now, err = read(); err != nil {
			return before, after, err
		}
	}
	m.before, m.after = m.after, now
	return m.before, m.after, nil
}

// covers tells whether every container of a look was in an earlier one.
func covers(before, now look) bool {
	for id := range now.has { //stave:sorted: one answer for all
		if _, ok := before.has[id]; !ok {
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// useBetween is what was used between two figures; a counter that went back has
// begun anew and says nothing.
func useBetween(a, b runtime.Stats) wire.Use {
	u := wire.Use{Memory: b.WorkingSet, Window: b.At.Sub(a.At), Spent: b.CPU}
	if u.Window > 0 && b.CPU > a.CPU {
		u.CPU = uint64(float64(b.CPU-a.CPU) / float64(u.Window) * float64(time.Second))
	}
	return u
}

func (a *Agent) serveMetrics(ctx context.Context, r bus.Request, s bus.Stream) {
	req, err := hello[wire.MetricsRequest](r)
	var m wire.Metrics
	switch {
	case err != nil:
	case !req.At.IsZero():
		m, err = a.samples.at(a.o.Name, req.At)
	default:
		if m, err = a.metrics(ctx); err == nil {
			a.samples.add(m) // what was answered once is answered again
		}
	}
	if err == nil {
		err = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: events.MustBody(m)})
	}
	finish(ctx, s, statusOf(err))
}

// metrics measures the node and what runs on it.
func (a *Agent) metrics(ctx context.Context) (wire.Metrics, error) {
	before, after, err := a.meter.measure(ctx, func() (look, error) { return a.look(ctx) })
	if err != nil {
		return wire.Metrics{}, fmt.Errorf("measure node %s: %w", a.o.Name, err)
	}
	return a.used(before, after), nil
}

// used is what the node and its running pods used between two looks.
func (a *Agent) used(before, after look) wire.Metrics {
	m := wire.Metrics{Node: a.o.Name, At: after.at, Use: useBetween(before.has[hostContainer], after.has[hostContainer])}
	a.each(func(w *worker) {
		row, obs, _ := w.state()
		if row == nil {
			return
		}
		p := wire.PodMetrics{Namespace: row.Pod.Namespace, Name: row.Pod.Name, UID: row.UID}
		for _, c := range obs.Containers {
			first, there := before.has[c.ID]
			if last, ok := after.has[c.ID]; ok && there {
				p.Containers = append(p.Containers, wire.ContainerMetrics{Name: c.Name, Use: useBetween(first, last)})
			}
		}
		if len(p.Containers) > 0 {
			slices.SortFunc(p.Containers, func(a, b wire.ContainerMetrics) int { return cmp.Compare(a.Name, b.Name) })
			m.Pods = append(m.Pods, p)
		}
	})
	slices.SortFunc(m.Pods, func(a, b wire.PodMetrics) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return m
}

// look reads every counter once. A container that ends meanwhile is left out.
func (a *Agent) look(ctx context.Context) (look, error) {
	host, err := hostStats()
	if err != nil {
		return look{}, err
	}
	l := look{at: host.At, has: map[string]runtime.Stats{hostContainer: host}}
	a.each(func(w *worker) {
		_, obs, _ := w.state()
		for _, c := range obs.Containers {
			if c.Phase != plan.Running {
				continue
			}
			if s, err := a.o.Runtime.Stats(ctx, c.ID); err == nil {
				l.has[c.ID] = s
			}
		}
	})
	return l, ctx.Err()
}

// hostStats reads the machine's own figures. They are the same with either
// version of cgroups, whose roots differ in what they count.
func hostStats() (runtime.Stats, error) {
	stat, err := os.ReadFile("/proc/stat")
	memory, memoryErr := os.ReadFile("/proc/meminfo")
	if err := errors.Join(err, memoryErr); err != nil {
		return runtime.Stats{}, fmt.Errorf("read the machine's figures: %w", err)
	}
	s, err := parseHost(string(stat), string(memory))
	s.At = time.Now()
	return s, err
}

// tick is the unit of /proc/stat, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// parseHost reads the first line of /proc/stat, and /proc/meminfo. What files
// could give back at once is no working set.
func parseHost(stat, meminfo string) (runtime.Stats, error) {
	var s runtime.Stats
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return s, fmt.Errorf("read /proc/stat: unexpected line %q", line)
	}
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq: not idle, iowait, steal, and guests are in user
		n, err := strconv.ParseUint(f[i], 10, 63)
		if err != nil {
			return s, fmt.Errorf("read /proc/stat: %w", err)
		}
		s.CPU += time.Duration(n) * tick
	}
	m := map[string]uint64{}
	for line := range strings.Lines(meminfo) {
		name, rest, _ := strings.Cut(line, ":")
		if v := strings.Fields(rest); len(v) > 0 {
			n, _ := strconv.ParseUint(v[0], 10, 63) // what is no number is not asked for
			m[name] = n * 1024
		}
	}
	if m["MemTotal"] == 0 {
		return s, errors.New("read /proc/meminfo: no MemTotal")
	}
	s.Memory = m["MemTotal"] - min(m["MemFree"], m["MemTotal"])
	s.WorkingSet = s.Memory - min(m["Inactive(file)"], s.Memory)
	return s, nil
}
