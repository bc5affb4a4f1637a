package projections

import (
	"time"

	"github.com/stave-run/stave/events"
)

// Pod is what the scheduler and its node said of one life of a pod. Its spec
// and labels are in its Object row.
type Pod struct {
	Key        events.Key
	UID        events.UID
	Node       string // "" while it is not assigned
	Assigned   Mark
	IP         string
	HostIP     string
	Sandbox    Mark        // when it got its namespaces and address
	Containers []Container // in the order in which the node first spoke of them
	Stopping   Mark        // the node began to stop it
	StopReason string
	Stopped    Mark         // nothing of it runs any more
	Failed     *events.Fact // it cannot run as a whole
	FailedAt   Mark
	ReadySince Mark // all containers ready since; zero while not
	// ReadyTurned is when the pod last became ready or ceased to be.
	ReadyTurned Mark
	Lost        bool // its node is silent: what is known is old
}

// Container is the latest of one container of a pod.
type Container struct {
	Name        string
	Run         int // the present or last run, 1 is the first, 0 before it
	Phase       ContainerPhase
	Reason      string // why it waits: ContainerCreating, ErrImagePull, CrashLoopBackOff, …
	Message     string
	Until       time.Time // end of a back-off
	Image       string
	ImageID     string
	ContainerID string
	StartedAt   time.Time
	Ready       bool
	Exit        *Exit // of the present run, when Phase is Terminated
	Last        *Exit // of the run before
	Since       Mark  // of Phase
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
	Run         int
	Code        int
	Signal      int
	Reason      string // Completed, Error, OOMKilled, StartError
	Message     string
	Tail        string
	OOM         bool
	ContainerID string
	StartedAt   time.Time
	FinishedAt  time.Time
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
func (d *Deletion) Deadline() time.Time { return d.Time.Add(time.Duration(d.Grace) * time.Second) }
