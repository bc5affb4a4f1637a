package events

import "time"

// Seen is one flush of a node: what it saw since the last one.
// A pod's facts that name a uid or an assignment that is not current are void.
type Seen struct {
	Node *NodeFacts `json:"node,omitempty"` // set when they changed
	Pods []PodSeen  `json:"pods,omitempty"`
	// Volumes are what became of the directories of PersistentVolumes.
	Volumes []VolumeSeen `json:"volumes,omitempty"`
}

// NodeFacts is what a node says about itself.
type NodeFacts struct {
	Addresses        []string          `json:"addresses"` // internal IPs
	Hostname         string            `json:"hostname"`
	PodCIDR          string            `json:"podCIDR,omitempty"`
	Capacity         map[string]string `json:"capacity"`    // resource name → quantity
	Allocatable      map[string]string `json:"allocatable"` // resource name → quantity
	OSImage          string            `json:"osImage"`
	Kernel           string            `json:"kernel"`
	Architecture     string            `json:"architecture"`
	ContainerRuntime string            `json:"containerRuntime"` // "containerd://2.4.2"
	AgentVersion     string            `json:"agentVersion"`
	MachineID        string            `json:"machineID,omitempty"`
	BootID           string            `json:"bootID,omitempty"`
	Conditions       []NodeCondition   `json:"conditions,omitempty"` // pressure and the like, beside Ready
	// MaxProcesses is how many processes and threads each container may have; 0 was not said.
	MaxProcesses int `json:"maxProcesses,omitempty"`
	// VolumesDir is where the node keeps the directories of PersistentVolumes; empty: it keeps none.
	VolumesDir string `json:"volumesDir,omitempty"`
}

// The conditions that nodes judge, beside Ready: true when something is wrong.
const (
	// ConditionDisk: a file system of the node is short of room; it takes no new pods, and may evict some.
	ConditionDisk = "DiskPressure"
	// ConditionServices: some services are not in the node's tables; the message names them.
	ConditionServices = "ServicesNotProgrammed"
	// ConditionForeignProxy: another service proxy has left its rules; the message holds the
	// command that removes them.
	ConditionForeignProxy = "ForeignServiceProxy"
)

// NodeCondition is a condition that the node itself can judge.
type NodeCondition struct {
	Type    string `json:"type"`
	Status  bool   `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// PodSeen is what a node saw of one pod, in order.
type PodSeen struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       UID    `json:"uid"`
	Assigned  Seq    `json:"assigned"` // the assignment under which it was seen
	Facts     []Fact `json:"facts"`
}

// FactKind says what a node saw.
type FactKind string

// What a node can see of a pod. Container facts name the container and the run;
// those about waiting (pulling, pulled, pull-failed, backoff) name the run that
// waits.
const (
	FactSandbox    FactKind = "sandbox"     // the pod has its namespaces and address: IP, HostIP
	FactPulling    FactKind = "pulling"     // an image is being fetched: Image
	FactPulled     FactKind = "pulled"      // an image is there: Image, ImageID, Took
	FactPullFailed FactKind = "pull-failed" // Reason is ErrImagePull or InvalidImageName or ErrImageNeverPull, Message the registry's words
	FactStarted    FactKind = "started"     // a run began: ContainerID
	FactNotStarted FactKind = "not-started" // a run could not begin: Reason, Message, Code
	FactExited     FactKind = "exited"      // a run ended: Code, Signal, Reason, OOM (with Limit, Victim), Tail, StartedAt
	FactReady      FactKind = "ready"       // a container answers
	FactUnready    FactKind = "unready"     // it no longer does: Message; Reason is Unhealthy when a probe said so
	FactUp         FactKind = "up"          // a run's startup is over: what follows in the pod may begin
	FactUnhealthy  FactKind = "unhealthy"   // a probe fails, and nothing follows from it yet, or warns: Message holds its words
	FactKilling    FactKind = "killing"     // the node ends a run and not the pod: Reason, Message holds the words of what failed
	FactStarved    FactKind = "starved"     // the kernel killed processes of a run that goes on, for want of memory: Count, Limit, Victim, Message
	FactCrowded    FactKind = "crowded"     // a run was refused to fork, having as many processes as it may: Count, Limit, Message
	FactAnew       FactKind = "anew"        // all containers of the pod begin anew, as run Run of Container ended with a code whose rule says so
	FactBackoff    FactKind = "backoff"     // the next try waits: Until, Reason is CrashLoopBackOff or ImagePullBackOff
	FactObserved   FactKind = "observed"    // the node goes by a newer spec of the pod: Count is its generation; of the first nothing is said
	FactResized    FactKind = "resized"     // all that runs of the pod has the resources that it was given by the event Count
	FactNotResized FactKind = "not-resized" // a container cannot get them yet: Message; Count as in resized
	FactStopping   FactKind = "stopping"    // the node began to stop the pod: Message says why
	FactStopped    FactKind = "stopped"     // nothing of the pod runs any more and its resources are free
	FactFailed     FactKind = "failed"      // the pod as a whole cannot run: Reason, Message
)

// Fact is one thing that a node saw. Fields that Kind does not name are empty.
type Fact struct {
	Kind        FactKind  `json:"kind"`
	At          time.Time `json:"at"` // the node's clock: for people; order is the log's
	Container   string    `json:"container,omitempty"`
	Run         int       `json:"run,omitempty"` // 1 is the first
	Image       string    `json:"image,omitempty"`
	ImageID     string    `json:"imageID,omitempty"`
	ContainerID string    `json:"containerID,omitempty"`
	IP          string    `json:"ip,omitempty"`
	HostIP      string    `json:"hostIP,omitempty"`
	Code        int       `json:"code,omitempty"`
	Signal      int       `json:"signal,omitempty"`
	OOM         bool      `json:"oom,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Message     string    `json:"message,omitempty"`
	Tail        string    `json:"tail,omitempty"`       // last lines of output, at most MaxTail bytes
	StartedAt   time.Time `json:"startedAt,omitzero"`   // of the run that exited
	Until       time.Time `json:"until,omitzero"`       // end of a back-off
	Took        int64     `json:"tookMillis,omitempty"` // milliseconds
	// Count is how often since the run began; it is told anew when it has grown much, not each time.
	Count  int    `json:"count,omitempty"`
	Limit  string `json:"limit,omitempty"`  // the container's own that was met, a quantity; empty when it was another's
	Victim string `json:"victim,omitempty"` // whom the kernel killed, "tail (pid 7)", as far as it still tells
	// Volume is the pod's that Image is for, in facts about pulls; empty: it is the container's own.
	Volume string `json:"volume,omitempty"`
}

// Why a node ends a run of a pod that goes on: the Reason of a FactKilling. Unhealthy is that of a FactUnready.
const (
	Unhealthy       = "Unhealthy"
	LivenessFailed  = "LivenessProbe"
	StartupFailed   = "StartupProbe"
	PostStartFailed = "FailedPostStartHook"
	ImageChanged    = "ImageChanged"            // the container has got another image
	ResizeRestarts  = "ResizeRestarts"          // the container has got other resources, and its resizePolicy wants a new run for them
	RestartingAll   = "RestartingAllContainers" // all containers of the pod begin anew; of an exit: it was ended for that
	PreStopFailed   = "FailedPreStopHook"       // Reason of a FactUnhealthy: the run ends all the same
	ProbeWarning    = "ProbeWarning"            // Reason of a FactUnhealthy: the probe passes, and something is odd about it
)

// PostStartRuns begins the Message of a FactBackoff whose container's process runs already: it counts as started when its
// hook has ended.
const PostStartRuns = "its postStart hook has not ended yet"

// MaxTail bounds the output kept with an exit, in bytes.
const MaxTail = 2048

// VolumeKind says what a node did to the directory of a volume.
type VolumeKind string

// What a node can do to the directory of a volume.
const (
	VolumeMade      VolumeKind = "made"       // it is there, for good
	VolumeErased    VolumeKind = "erased"     // nothing is left of it
	VolumeNotErased VolumeKind = "not-erased" // some of it is left, and is tried again: Message
)

// VolumeSeen is what a node did to the directory of one PersistentVolume. It is
// void of another life of the volume, and of one that another node has.
type VolumeSeen struct {
	Name    string     `json:"name"`
	UID     UID        `json:"uid"`
	Kind    VolumeKind `json:"kind"`
	At      time.Time  `json:"at"` // the node's clock: for people
	Message string     `json:"message,omitempty"`
}
