package projections

import (
	"time"

	"github.com/stave-run/stave/events"
)

// Pod is what the scheduler and its node said of one life of a pod. Its spec
// and labels are in its Object row. What is zero takes no room in a checkpoint.
type Pod struct {
	Key        events.Key  `cbor:",omitzero"`
	UID        events.UID  `cbor:",omitzero"`
	Node       string      `cbor:",omitzero"` // "" while it is not assigned
	Assigned   Mark        `cbor:",omitzero"`
	IP         string      `cbor:",omitzero"`
	HostIP     string      `cbor:",omitzero"`
	Sandbox    Mark        `cbor:",omitzero"` // when it got its namespaces and address
	Containers []Container `cbor:",omitzero"` // in the order in which the node first spoke of them
	ReadySince Mark        `cbor:",omitzero"` // all containers ready since, and all gates open; zero while not
	// ReadyTurned is when the pod last became ready or ceased to be.
	ReadyTurned Mark `cbor:",omitzero"`
	Lost        bool `cbor:",omitzero"` // its node is silent: what is known is old
	*PodExtras       // never nil in a row of the fold
}

// PodExtras are what is said of few pods, and of most not before their end. Most rows have none of it: they share one.
type PodExtras struct {
	// Initialized is when its init containers were done; zero while not, and while it has none.
	Initialized Mark         `cbor:",omitzero"`
	Stopping    Mark         `cbor:",omitzero"` // the node began to stop it
	StopReason  string       `cbor:",omitzero"`
	Stopped     Mark         `cbor:",omitzero"` // nothing of it runs any more
	Failed      *events.Fact `cbor:",omitzero"` // it cannot run as a whole
	FailedAt    Mark         `cbor:",omitzero"`
	// Gated is set of a pod with readiness gates whose containers have been ready.
	Gated *Gated `cbor:",omitzero"`
	// Observed is the newest generation of its spec that its node said it goes by; 0 while it goes by the first.
	Observed int64 `cbor:",omitzero"`
	// Resized is the event that granted it other resources last; 0 when none did.
	Resized events.Seq `cbor:",omitzero"`
	Resize  *Resize    `cbor:",omitzero"` // nil when all has the resources that its spec says
	Anew    *Anew      `cbor:",omitzero"` // the last time that all its containers were to begin anew; nil when there was none
}

// noPodExtras are those of rows that have none. Whoever would change them asks for own.
var noPodExtras = &PodExtras{}

// newPod is the row of a pod of which nothing is said yet.
func newPod(k events.Key, uid events.UID) *Pod { return &Pod{Key: k, UID: uid, PodExtras: noPodExtras} }

// own gives a row that nobody has seen yet extras that may be changed.
func (p *Pod) own() *PodExtras {
	x := *p.PodExtras
	p.PodExtras = &x
	return &x
}

// whole gives a row that was read extras, the shared ones when it has none.
func (p *Pod) whole() *Pod {
	if p.PodExtras == nil || *p.PodExtras == (PodExtras{}) {
		p.PodExtras = noPodExtras
	}
	return p
}

// Container is the latest of one container of a pod.
type Container struct {
	Name        string         `cbor:",omitzero"`
	Run         int            `cbor:",omitzero"` // the present or last run, 1 is the first, 0 before it
	Phase       ContainerPhase `cbor:",omitzero"`
	Ready       bool           `cbor:",omitzero"`
	Up          bool           `cbor:",omitzero"` // the present run's startup is over
	Reason      string         `cbor:",omitzero"` // why it waits: ContainerCreating, ErrImagePull, CrashLoopBackOff, …
	Message     string         `cbor:",omitzero"`
	Until       time.Time      `cbor:",omitzero"` // end of a back-off
	Image       string         `cbor:",omitzero"`
	ImageID     string         `cbor:",omitzero"`
	ContainerID string         `cbor:",omitzero"`
	StartedAt   time.Time      `cbor:",omitzero"`
	Killing     string         `cbor:",omitzero"` // why its node ends the present run, in the words of what failed
	Starved     *Strain        `cbor:",omitzero"` // processes of the present run that the kernel killed for want of memory; nil when none
	Crowded     *Strain        `cbor:",omitzero"` // forks that were refused to the present run; nil when none
	Exit        *Exit          `cbor:",omitzero"` // of the present run, when Phase is Terminated
	Last        *Exit          `cbor:",omitzero"` // of the run before
	Since       Mark           `cbor:",omitzero"` // of Phase
	Anew        bool           `cbor:",omitzero"` // another run follows the present one, whatever policies say: all of the pod begins anew
}

// Strain is a limit that a run met and that did not end it.
type Strain struct {
	Count   int    `cbor:",omitzero"` // how often, as last told
	Limit   string `cbor:",omitzero"` // the container's own, a quantity; empty when it was another's
	Message string `cbor:",omitzero"`
	Mark           // of the last telling
}

// ContainerPhase is where a run is; within a run it only moves forward.
type ContainerPhase uint8

// The phases of a container, as Kubernetes names them.
const (
	Waiting ContainerPhase = iota
	Running
	Terminated
)

// Exit is how a run ended.
type Exit struct {
	Run         int       `cbor:",omitzero"`
	Code        int       `cbor:",omitzero"`
	Signal      int       `cbor:",omitzero"`
	Reason      string    `cbor:",omitzero"` // Completed, Error, OOMKilled, StartError
	Message     string    `cbor:",omitzero"`
	Tail        string    `cbor:",omitzero"`
	OOM         bool      `cbor:",omitzero"`
	Crowded     string    `cbor:",omitzero"` // what was told of forks that were refused to it; empty when none was
	Killed      string    `cbor:",omitzero"` // why its node ended it, in the words of the probe or hook that failed; empty when it did not
	ContainerID string    `cbor:",omitzero"`
	StartedAt   time.Time `cbor:",omitzero"`
	FinishedAt  time.Time `cbor:",omitzero"`
	Mark
}

// Node is what a node said of itself and what its silence said.
type Node struct {
	Name   string
	Facts  events.NodeFacts
	Has    Usage // what it has to give, read from its facts
	Seen   Mark  // the last time that its facts changed
	Report events.NodeReported
	Since  Mark // of Report.Ready
}

// Verdict is why an object does not move.
type Verdict struct {
	Key     events.Key
	UID     events.UID
	Reasons []events.Reason
	Mark
}

// Container finds a container by name.
func (p *Pod) Container(name string) (Container, bool) {
	for _, c := range p.Containers {
		if c.Name == name {
			return c, true
		}
	}
	return Container{}, false
}

// Restarts is how often containers of the pod were started again.
func (p *Pod) Restarts() int {
	n := 0
	for _, c := range p.Containers {
		n += max(0, c.Run-1)
	}
	return n
}

// Deadline is when the grace of a deletion ends.
func (d *Deletion) Deadline() time.Time { return d.Time.Add(events.Seconds(d.Grace)) }
