// Package plan decides what a node does next for one pod: a function of the row that the node is fed, of what it observed,
// and of now. Nothing here touches the world; every Op says in words what it will do, so that a plan can be read.
//
// Two things follow from the same function: a pod that is new is started, and a pod that was running when the agent was
// killed is left alone, because what runs is observed and what was said of it is remembered.
package plan

import (
	"maps"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Phase is where one run of a container is; it only moves forward.
type Phase string

// The phases of a run.
const (
	Created Phase = "created"
	Running Phase = "running"
	Exited  Phase = "exited"
)

// Exit is how a run ended.
type Exit struct {
	Code    int       `json:"code"`
	Signal  int       `json:"signal,omitempty"`
	OOM     bool      `json:"oom,omitempty"`
	Lost    bool      `json:"lost,omitempty"`    // nobody saw it end
	Starved string    `json:"starved,omitempty"` // whom the kernel killed when OOM is set, if it said so
	Machine bool      `json:"machine,omitempty"` // when OOM is set: the machine's memory was used up, and no container's
	Message string    `json:"message,omitempty"` // why it could not begin, in the runtime's words
	At      time.Time `json:"at"`
	// NotStarted says that the run ended before its first instruction.
	NotStarted bool `json:"notStarted,omitempty"`
}

// Container is one run of a container that the runtime has, running or ended.
type Container struct {
	Name      string
	Run       int // 1 is the first
	ID        string
	Image     string // as its container named it; empty when nobody knows
	Phase     Phase
	StartedAt time.Time
	Exit      Exit    // when Phase is Exited
	Crashes   int     // ends in a row before this run, none of which ran for StableAfter
	Health    Health  // while Phase is Running
	Strain    Strain  // since the run began
	Bounds    *Bounds // that it has; nil when nobody knows
}

// Retry is something that failed and will be tried again. The zero Retry did not fail.
type Retry struct {
	Failures int       `json:"failures,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
}

// Known is what the node remembers of a container over its runs, and over its own restarts.
type Known struct {
	// Run is the newest run of which the log was told, Ended whether its end was; Exit is that end and Lasted how long
	// it ran.
	Run    int           `json:"run"`
	Ended  bool          `json:"ended,omitempty"`
	Exit   Exit          `json:"exit,omitzero"`
	Lasted time.Duration `json:"lasted,omitempty"`
	// Crashes counts as in Container, for run Run.
	Crashes int `json:"crashes,omitempty"`
	// Image is the run for which the image is known to be there.
	Image int `json:"image,omitempty"`
	// Ref is the image, as its container names it, that Image and Retry are of.
	Ref string `json:"ref,omitempty"`
	// Retry is of the image or of the creation of the next run.
	Retry Retry `json:"retry,omitzero"`
	// Resize is of giving run Run what the grant ResizeOf says.
	Resize   Retry `json:"resize,omitzero"`
	ResizeOf int   `json:"resizeOf,omitempty"`
	// Waiting is what the log was told last about why the next run waits.
	Waiting string `json:"waiting,omitempty"`
	// Up, Ready, Words and Killed are what the log was told of run Run's health.
	Up     bool   `json:"up,omitempty"`
	Ready  bool   `json:"ready,omitempty"`
	Words  string `json:"words,omitempty"`
	Killed *Kill  `json:"killed,omitempty"`
	// Starved and Crowded are the counts of run Run's strain that the log was told.
	Starved int `json:"starved,omitempty"`
	Crowded int `json:"crowded,omitempty"`
	// Done says of an init container that what comes after it may begin. It holds as long as the pod's room.
	Done bool `json:"done,omitempty"`
	// Rose says that a run of it was up. It holds as long.
	Rose bool `json:"rose,omitempty"`
	// Void is run Run when all of the pod's containers were to begin anew since it began: it counts no more.
	Void bool `json:"voided,omitempty"`
}

// Observed is what a node knows of one pod beside what it shall be.
type Observed struct {
	// Sandbox says that namespaces, shim and address are there; Remains that anything of the pod is.
	Sandbox bool
	Remains bool
	IP      string
	// Volumes is the Fingerprint of the ConfigMaps that were written.
	Volumes string
	// TokensDue is when the tokens in the volumes are to be made anew; zero: at once, if there are any.
	TokensDue time.Time
	// Images are those that are mounted as volumes, or could not be, by volume.
	Images map[string]VolumeImage
	// Certs are the pod's certificates, by their place.
	Certs      map[projections.CertPlace]Cert
	Containers []Container
	Known      map[string]Known // by container
	Setup      Retry            // the sandbox's or the volumes'
	Cleanup    Retry            // the removal's
	Told       Told
	Leave      *Leave // nil until its node was asked to stop it
	// Outgrown says what of the pod takes more of the disk than it may, in Kubernetes' words.
	Outgrown string
	// Evidence says that something told of the pod could still be taken back by a power cut.
	Evidence bool
}

// Told is what the log was told of the pod as a whole.
type Told struct {
	Stopping bool `json:"stopping,omitempty"`
	Stopped  bool `json:"stopped,omitempty"`
	// Failed says that the pod as a whole is over.
	Failed bool `json:"failed,omitempty"`
	// Generation is the newest of the pod's spec that the log was told the node goes by; the first is not told.
	Generation int `json:"generation,omitempty"`
	// Resized is the newest grant of other resources that the log was told is done, NotResized that one cannot be yet.
	Resized    int `json:"resized,omitempty"`
	NotResized int `json:"notResized,omitempty"`
	// Since is when the pod first had its namespaces and address.
	Since time.Time `json:"since,omitzero"`
}

// Leave is by when a pod is to be gone.
type Leave struct {
	Asked time.Time `json:"asked,omitzero"` // as the log has it
	By    time.Time `json:"by,omitzero"`    // by the node's clock
}

// Hear is the pod after its node was told what it shall be. The grace of one that is to stop counts from then on, by the
// node's own clock: by one that is ahead of the log's it would be over at once, and by one that was set back last for hours.
func (o Observed) Hear(row *projections.DesiredPod, now time.Time) Observed {
	if row != nil && row.Stop && row.Grace != nil && (o.Leave == nil || !o.Leave.Asked.Equal(row.Deadline)) {
		o.Leave = &Leave{Asked: row.Deadline, By: now.Add(events.Seconds(*row.Grace))}
	}
	return o
}

// left is what is left of a pod's grace: never more than it was given, also when the clock was set back since.
func (l *Leave) left(row *projections.DesiredPod, now time.Time) time.Duration {
	grace := events.Seconds(*row.Grace)
	if l == nil || !l.Asked.Equal(row.Deadline) {
		return grace
	}
	return min(grace, l.By.Sub(now))
}

// Newest is the latest run of a container that the runtime has.
func (o Observed) Newest(name string) (Container, bool) {
	var best Container
	for _, c := range o.Containers {
		if c.Name == name && c.Run > best.Run {
			best = c
		}
	}
	return best, best.Run > 0
}

// begun says that anything was made for the pod, ever.
func (o Observed) begun() bool { return o.Remains || len(o.Known) > 0 }

// Put replaces one run, or adds it.
func (o Observed) Put(c Container) Observed {
	i := slices.IndexFunc(o.Containers, func(x Container) bool { return x.Name == c.Name && x.Run == c.Run })
	o.Containers = slices.Clone(o.Containers)
	if i < 0 {
		o.Containers = append(o.Containers, c)
	} else {
		o.Containers[i] = c
	}
	o.Remains = true
	return o
}

// Drop forgets one run.
func (o Observed) Drop(name string, run int) Observed {
	o.Containers = slices.DeleteFunc(slices.Clone(o.Containers), func(x Container) bool { return x.Name == name && x.Run == run })
	return o
}

// Cleaned is the pod after everything of it was removed.
func (o Observed) Cleaned() Observed {
	o.Sandbox, o.Remains, o.Volumes, o.Containers, o.Setup, o.Cleanup = false, false, "", nil, Retry{}, Retry{}
	o.Images = nil
	return o
}

// Afresh is the pod in a new room: what prepared the old one has to run again.
func (o Observed) Afresh() Observed {
	o.Volumes, o.Images = "", nil
	for _, name := range slices.Sorted(maps.Keys(o.Known)) {
		o = o.Remember(name, func(k *Known) { k.Done, k.Rose = false, false })
	}
	return o
}

// Remember replaces what is known of a container.
func (o Observed) Remember(name string, edit func(*Known)) Observed {
	o.Known = maps.Clone(o.Known)
	if o.Known == nil {
		o.Known = map[string]Known{}
	}
	k := o.Known[name]
	edit(&k)
	o.Known[name] = k
	return o
}

// Tell is the pod after the log was told these facts; nothing is said twice.
func (o Observed) Tell(facts []events.Fact) Observed {
	for _, f := range facts {
		switch f.Kind {
		case events.FactStopping:
			o.Told.Stopping = true
		case events.FactStopped:
			o.Told.Stopped = true
		case events.FactFailed:
			o.Told.Failed = true
		case events.FactSandbox:
			if o.Told.Since.IsZero() {
				o.Told.Since = f.At
			}
		case events.FactAnew:
			o = o.anew()
		case events.FactObserved:
			o.Told.Generation = f.Count
		case events.FactResized:
			o.Told.Resized = f.Count
		case events.FactNotResized:
			o.Told.NotResized = f.Count
		case events.FactStarted:
			o = o.Remember(f.Container, func(k *Known) { k.begin(f.Run, o.crashes(f.Container, f.Run)) })
		case events.FactExited, events.FactNotStarted:
			o = o.Remember(f.Container, func(k *Known) { k.end(f, o.crashes(f.Container, f.Run)) })
		case events.FactBackoff:
			o = o.Remember(f.Container, func(k *Known) { k.Waiting = waiting(f) })
		case events.FactStarved:
			o = o.Remember(f.Container, func(k *Known) { k.Starved = f.Count })
		case events.FactCrowded:
			o = o.Remember(f.Container, func(k *Known) { k.Crowded = f.Count })
		case events.FactUp, events.FactReady, events.FactUnready, events.FactUnhealthy, events.FactKilling:
			kill := o.condemned(f)
			o = o.Remember(f.Container, func(k *Known) { k.feel(f, kill) })
		}
	}
	return o
}

func (o Observed) crashes(name string, run int) int {
	for _, c := range o.Containers {
		if c.Name == name && c.Run == run {
			return c.Crashes
		}
	}
	return o.Known[name].Crashes
}

// condemned is why a run is ended, with all that its end needs.
func (o Observed) condemned(f events.Fact) *Kill {
	for _, c := range o.Containers {
		if c.Name == f.Container && c.Run == f.Run && c.Health.Kill != nil {
			return c.Health.Kill
		}
	}
	return &Kill{Reason: f.Reason, Message: f.Message}
}

func (k *Known) feel(f events.Fact, kill *Kill) {
	switch f.Kind {
	case events.FactUp:
		k.Up, k.Rose, k.Done, k.Words = true, k.Rose || !k.Void, k.Done || !k.Void, ""
	case events.FactReady:
		k.Ready, k.Words = true, ""
	case events.FactUnready:
		k.Ready, k.Words = false, f.Message
	case events.FactUnhealthy:
		k.Words = f.Message
	case events.FactKilling:
		k.Killed = kill
	}
}

func (k *Known) begin(run, crashes int) {
	*k = Known{Run: run, Crashes: crashes, Image: k.Image, Ref: k.Ref, Done: k.Done, Rose: k.Rose}
}

func (k *Known) end(f events.Fact, crashes int) {
	if k.Run != f.Run {
		k.Killed, k.Void = nil, false
	}
	*k = Known{Run: f.Run, Ended: true, Crashes: crashes, Image: k.Image, Ref: k.Ref, Killed: k.Killed,
		Rose: k.Rose, Done: k.Done || f.Kind == events.FactExited && f.Code == 0 && !k.Void, Void: k.Void}
	k.Exit = Exit{Code: f.Code, Signal: f.Signal, OOM: f.OOM, Message: f.Message, At: f.At, NotStarted: f.Kind == events.FactNotStarted,
		Lost: f.Reason == ContainerStatusUnknown}
	if !f.StartedAt.IsZero() {
		k.Lasted = f.At.Sub(f.StartedAt)
	}
}

// waiting is the identity of a back-off, so that each is told once.
func waiting(f events.Fact) string {
	s := f.Reason + ": " + f.Message
	if !f.Until.IsZero() {
		s += " until " + f.Until.UTC().Format(time.RFC3339Nano)
	}
	return s
}
