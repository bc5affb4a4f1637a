package plan

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Words that people know from Kubernetes.
const (
	CrashLoopBackOff           = "CrashLoopBackOff"
	ImagePullBackOff           = "ImagePullBackOff"
	ErrImagePull               = "ErrImagePull"
	ContainerCreating          = "ContainerCreating"
	CreateContainerConfigError = "CreateContainerConfigError"
	ContainerStatusUnknown     = "ContainerStatusUnknown"
	Completed                  = "Completed"
	Failed                     = "Error"
	OOMKilled                  = "OOMKilled"
	StartError                 = "StartError"
	Evicted                    = "Evicted"
	NodeAffinity               = "NodeAffinity"
	OSNotSupported             = "PodOSNotSupported"
	DeadlineExceeded           = "DeadlineExceeded"
)

// misfit is what a kubelet says of a pod that was given to it past the scheduler.
const misfit = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"

// Decide plans for one pod. A nil row is a pod that the node shall not have: it is stopped, removed and forgotten.
func Decide(row *projections.DesiredPod, o Observed, n Node, now time.Time) Decision {
	p := &planner{row: row, o: o, node: n, now: now}
	switch {
	case row == nil || row.Stop:
		p.stop()
	case p.late():
		p.evict(DeadlineExceeded, overdue, p.ownGrace())
	case o.Told.Failed || o.Outgrown != "":
		p.evict(Evicted, o.Outgrown, evictionGrace)
	case row.Misfit && !o.begun() && len(row.Runs) == 0:
		p.evict(NodeAffinity, misfit, evictionGrace)
	case row.Pod.Spec.OS != nil && row.Pod.Spec.OS.Name != corev1.Linux && !o.begun() && len(row.Runs) == 0:
		p.evict(OSNotSupported, "Failed to admit pod as the OS field doesn't match node OS", evictionGrace)
	case row.Rejected != nil && !o.begun() && len(row.Runs) == 0:
		p.evict(row.Rejected.Reason, row.Rejected.Message, evictionGrace)
	default:
		p.run()
	}
	return p.out
}

type planner struct {
	row  *projections.DesiredPod
	o    Observed
	node Node
	now  time.Time
	out  Decision
}

func (p *planner) do(o Op) { p.out.Ops = append(p.out.Ops, o) }

func (p *planner) report(facts ...events.Fact) {
	for i := range facts {
		if facts[i].At.IsZero() {
			facts[i].At = p.now
		}
	}
	p.do(Report{Facts: facts})
}

func (p *planner) wake(at time.Time) {
	if p.out.WakeAt.IsZero() || at.Before(p.out.WakeAt) {
		p.out.WakeAt = at
	}
}

// run plans for a pod that shall run.
func (p *planner) run() {
	if g := int(p.row.Pod.Generation); g > max(p.o.Told.Generation, 1) {
		p.report(events.Fact{Kind: events.FactObserved, Count: g})
	}
	if d, ok := p.deadline(); ok {
		p.wake(d)
	}
	p.condemn()
	p.news()
	p.renew()
	p.mercy()
	if !p.over() {
		p.certify()
	}
	p.refresh()
	p.resize()
	for c := range Containers(&p.row.Pod.Spec) {
		p.lost(c.Name)
		p.tidy(c.Name)
	}
	wanted := p.wanted()
	if len(wanted) == 0 || !p.room(wanted) {
		return
	}
	for _, c := range wanted {
		p.start(c)
	}
}

// news reports the beginnings and ends that the log was not told of yet.
func (p *planner) news() {
	for _, c := range p.o.Containers {
		known := p.o.Known[c.Name]
		var facts []events.Fact
		began := known.Run < c.Run && c.Phase != Created
		if began && !c.Exit.NotStarted {
			facts = append(facts, events.Fact{Kind: events.FactStarted, At: c.StartedAt, Container: c.Name, Run: c.Run, ContainerID: c.ID})
			known.begin(c.Run, c.Crashes)
		}
		if known.Run == c.Run && !known.Ended {
			facts = append(facts, crowding(c, known)...)
		}
		if c.Phase == Running && known.Run == c.Run && !known.Ended {
			facts = append(facts, p.feelings(c, known)...)
			facts = append(facts, p.starving(c, known)...)
		}
		if c.Phase == Exited && (known.Run < c.Run || known.Run == c.Run && !known.Ended) {
			facts = append(facts, p.ended(c))
		}
		if len(facts) > 0 {
			p.report(facts...)
		}
	}
}

func (p *planner) ended(c Container) events.Fact {
	f := events.Fact{Kind: events.FactExited, At: c.Exit.At, Container: c.Name, Run: c.Run, ContainerID: c.ID, Code: c.Exit.Code,
		Signal: c.Exit.Signal, OOM: c.Exit.OOM, StartedAt: c.StartedAt, Reason: reason(c.Exit), Message: c.Exit.Message}
	if c.Exit.NotStarted {
		f.Kind, f.StartedAt = events.FactNotStarted, time.Time{}
	}
	switch {
	case c.Exit.Lost:
		f.Message = "nobody saw it end: the machine restarted, or its shim was killed"
	case c.Exit.OOM:
		f.Victim, f.Limit = c.Exit.Starved, p.memoryLimit(c.Name, c.Exit.Machine)
		f.Message = starved(f.Victim, f.Limit, c.Exit.Machine, c.Exit.Signal == 0)
	case p.void(c.Name, c.Run):
		f.Reason = events.RestartingAll
	}
	return f
}

func allContainers(s *corev1.PodSpec) []corev1.Container {
	return slices.Concat(s.InitContainers, s.Containers)
}

func reason(e Exit) string {
	switch {
	case e.NotStarted:
		return StartError
	case e.Lost:
		return ContainerStatusUnknown
	case e.OOM && e.Code != 0:
		return OOMKilled
	case e.Code == 0:
		return Completed
	}
	return Failed
}

// tidy removes the runs before the newest.
func (p *planner) tidy(name string) {
	newest, _ := p.o.Newest(name)
	for _, c := range p.o.Containers {
		if c.Name == name && c.Run < newest.Run {
			p.do(Remove{Container: c.Name, Run: c.Run, ID: c.ID})
		}
	}
}

// due says whether a container that the pod is there for has to begin a run, now or later.
func (p *planner) due(c *corev1.Container) bool {
	here, ok := p.o.Newest(c.Name)
	if ok && here.Phase == Running {
		return false
	}
	exit, ended, _ := p.last(c.Name)
	if !ended || ok && here.Phase == Created {
		return true
	}
	return p.follows(c, exit)
}

// lost tells the end of a run that was begun, as the log or this node remembers, and of which nothing is left.
func (p *planner) lost(name string) {
	k := p.o.Known[name]
	run := max(k.Run, p.row.Runs[name])
	_, here := p.o.Newest(name)
	if !here && (run > k.Run || run > 0 && !k.Ended) {
		p.report(p.ended(Container{Name: name, Run: run, Exit: Exit{Code: lostCode, Lost: true, At: p.now}}))
	}
}

// lostCode is what Kubernetes gives an end that nobody saw: as if killed.
const lostCode = 137

// last is how the newest run ended, if there was one and it ended, and how many ends in a row that makes. What the log
// counted and this disk does not know ended unseen. A run of which nothing is left was taken away, with its machine or by
// 'stave down': that is no crash of its own, and nobody waits for it.
func (p *planner) last(name string) (Exit, bool, int) {
	k := p.o.Known[name]
	c, ok := p.o.Newest(name)
	switch {
	case ok && c.Run >= k.Run && c.Phase == Exited:
		return c.Exit, true, ends(c.Crashes, lasted(c))
	case ok && c.Run >= k.Run:
		return Exit{}, false, c.Crashes
	case k.Run > 0 && k.Ended && k.Exit.Lost:
		return k.Exit, true, k.Crashes
	case k.Run > 0 && k.Ended:
		return k.Exit, true, ends(k.Crashes, k.Lasted)
	case k.Run > 0 || p.row.Runs[name] > 0:
		return Exit{Code: lostCode, Lost: true, At: p.now}, true, k.Crashes
	}
	return Exit{}, false, 0
}

func lasted(c Container) time.Duration {
	if c.StartedAt.IsZero() {
		return 0
	}
	return c.Exit.At.Sub(c.StartedAt)
}

// room plans sandbox and volumes, and says whether runs can begin in them.
func (p *planner) room(wanted []corev1.Container) bool {
	if p.o.Sandbox && p.o.Volumes != "" {
		return true
	}
	if p.waits(p.o.Setup) {
		for _, c := range wanted {
			p.wait(c.Name, p.o.Setup.Reason, p.o.Setup.Message, p.o.Setup.Until)
		}
		return false
	}
	if err := handlerError(p.row); err != nil && !p.o.Sandbox {
		for _, c := range wanted {
			p.wait(c.Name, ContainerCreating, err.Error(), time.Time{})
		}
		return false
	}
	if !p.o.Sandbox {
		if !p.node.Unheard || !p.row.Named {
			p.do(MakeSandbox{})
		}
		return false
	}
	err := VolumesError(p.row, p.node)
	if err == nil {
		err = p.uncertified()
	}
	if err != nil {
		for _, c := range wanted {
			p.wait(c.Name, ContainerCreating, err.Error(), time.Time{})
		}
		return false
	}
	p.do(WriteVolumes{Fingerprint: p.fingerprint()})
	return false
}

// start plans the next run of a container, or says what it waits for.
func (p *planner) start(c corev1.Container) {
	if here, ok := p.o.Newest(c.Name); ok && here.Phase == Created {
		if p.mounted(&c) {
			p.startMade(c, here)
		}
		return
	}
	exit, ended, crashes := p.last(c.Name)
	here, _ := p.o.Newest(c.Name)
	if killed := p.o.Known[c.Name].Killed; changed(here, &c) || killed != nil && killed.Reason == events.ResizeRestarts || p.blameless(&c, exit) {
		crashes = 0 // of an image that nobody wants any more, or of no fault
	}
	if until := exit.At.Add(CrashBackoff(crashes)); ended && p.before(until, CrashBackoff(crashes)) {
		p.wait(c.Name, CrashLoopBackOff, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", CrashBackoff(crashes),
			c.Name, p.row.Pod.Name, p.row.Pod.Namespace, p.row.UID), until)
		return
	}
	if !p.mounted(&c) {
		return
	}
	fetched, retry := p.o.Known[c.Name].of(c.Image)
	if p.waits(retry) {
		p.wait(c.Name, retry.Reason, retry.Message, retry.Until)
		return
	}
	if err := p.unfit(c); err != nil {
		p.wait(c.Name, CreateContainerConfigError, err.Error(), time.Time{})
		return
	}
	if _, ok := p.target(c.Name); !ok {
		p.wait(c.Name, CreateContainerConfigError, "target container "+Target(&p.row.Pod.Spec, c.Name)+" does not run", time.Time{})
		return
	}
	next := p.next(c.Name)
	if fetched != next {
		p.do(Pull{Container: c.Name, Run: next, Image: c.Image, Policy: PullPolicy(c)})
		return
	}
	p.do(Start{Container: c.Name, Run: next, Image: c.Image, Crashes: crashes})
}

// startMade plans for a run whose container is there: one that was made ahead may be of an agent that did not live to tell of
// its image.
func (p *planner) startMade(c corev1.Container, here Container) {
	fetched, retry := p.o.Known[c.Name].of(c.Image)
	switch {
	case changed(here, &c), here.Bounds != nil && p.misfits(here, &c):
		p.do(Remove{Container: c.Name, Run: here.Run, ID: here.ID})
	case fetched >= here.Run:
		p.do(Start{Container: c.Name, Run: here.Run, Image: c.Image, Crashes: here.Crashes})
	case p.waits(retry):
		p.wait(c.Name, retry.Reason, retry.Message, retry.Until)
	default:
		p.do(Pull{Container: c.Name, Run: here.Run, Image: c.Image, Policy: PullPolicy(c)})
	}
}

// stop plans for a pod that shall not run: every step waits for the one before.
func (p *planner) stop() {
	if p.row != nil {
		p.news()
		p.announce()
	}
	running := p.leaving()
	switch {
	case len(running) > 0:
		p.do(Stop{Runs: running, Grace: p.graceOf(running)})
	case p.o.Remains && p.waits(p.o.Cleanup):
		p.wake(p.o.Cleanup.Until)
	case p.o.Remains:
		p.do(Clean{})
	case p.row != nil && !p.o.Told.Stopped:
		p.report(events.Fact{Kind: events.FactStopped})
	case p.row == nil && !p.o.Evidence:
		p.do(Forget{})
	}
}

// announce tells that the pod is being stopped. Its containers are as ready as before until they end, or their probes
// say otherwise: no service sends them anything new but one that has nobody else.
func (p *planner) announce() {
	if !p.o.Told.Stopping && !p.o.Told.Stopped {
		p.report(events.Fact{Kind: events.FactStopping, Message: p.row.Why})
	}
}

// graceOf is what runs get that are stopped together: of sidecars, which come after the others, a moment at least.
func (p *planner) graceOf(runs []Container) time.Duration {
	if p.row != nil && p.isSidecar(runs[0].Name) {
		return max(sidecarGrace, p.grace())
	}
	return p.grace()
}

// grace is what is left of the time that the pod was given.
func (p *planner) grace() time.Duration {
	switch {
	case p.row == nil:
		return OrphanGrace
	case p.row.Grace != nil:
		return max(0, p.o.Leave.left(p.row, p.now))
	case p.row.Deadline.IsZero():
		return 0
	}
	return max(0, p.row.Deadline.Sub(p.now))
}
