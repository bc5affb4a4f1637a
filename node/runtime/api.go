// Package runtime is the words in which the agent and what runs its containers speak: what a sandbox, a container, an
// image and an end look like, how a run is named, and which ways there are to fail. It does nothing; node/containerd does.
package runtime

import (
	"context"
	"io"
	"os"
	"time"
)

// Image is an image that is present on this node.
type Image struct {
	// Ref is the full name: docker.io/library/nginx:alpine.
	Ref string
	// Digest is that of the manifest or index the name points to: sha256:….
	Digest string
	// Size is what the image's content takes, compressed, in bytes.
	Size int64
}

// PullProgress is one observation of a pull under way; Done and Total are compressed bytes, Total grows as manifests
// become known.
type PullProgress struct {
	Ref   string
	Done  int64
	Total int64
}

// Login is what a registry wants to know of who pulls.
type Login struct {
	// Server is the registry's name as in an image's, maybe with a path behind it: "registry.example.com:5000/team".
	Server   string
	Username string
	Password string
	// Token is an identity token to use instead.
	Token string
}

// SandboxSpec describes what the containers of one pod share.
type SandboxSpec struct {
	UID       string
	Namespace string
	Name      string
	// Hostname is what uname says inside; ignored with HostNetwork, where the pod has the host's.
	Hostname    string
	HostNetwork bool
	HostIPC     bool
	HostPID     bool
	// SharePID gives all containers of the pod one set of process ids.
	SharePID bool
	// Labels come back in SandboxState; keys as in Kubernetes.
	Labels map[string]string
	// Beside, if set, is called when the namespaces are there, while the rest of the sandbox is still being made: it may
	// wire the pod's network meanwhile. The sandbox is made when both are done.
	Beside func(context.Context, Sandbox) error
}

// Sandbox is a pod's shared room: namespaces pinned by bind mounts, a shim, a parent cgroup. No process holds it open.
type Sandbox struct {
	UID string
	// NetNSPath is the pinned network namespace, with lo up; empty with HostNetwork.
	NetNSPath string
	// CgroupParent is the pod's cgroup below each hierarchy's root: /stave-<cluster>/pod<uid>.
	CgroupParent string
	// Created says whether this call made the namespaces: the network must be wired (again) then.
	Created bool
}

// SandboxState is a sandbox found on this node.
type SandboxState struct {
	Sandbox
	Namespace string
	Name      string
	Labels    map[string]string
	// Ready is false when the shim is gone; EnsureSandbox makes a new one.
	Ready     bool
	CreatedAt time.Time
}

// Mount puts a file or directory of the host into a container; with an empty HostPath it is a tmpfs of Size bytes.
type Mount struct {
	HostPath      string
	ContainerPath string
	ReadOnly      bool
	// Propagation is "" (private), "HostToContainer" or "Bidirectional", in Kubernetes' words.
	Propagation string
	// Size bounds a tmpfs, in bytes; 0 means no bound but memory.
	Size int64
}

// Resources bound a container; a zero field sets no bound.
type Resources struct {
	// CPUShares is the weight among containers that compete (1024 = one CPU asked for).
	CPUShares uint64
	// CPUQuota is the microseconds of CPU time in each period of 100 ms.
	CPUQuota int64
	// MemoryLimit in bytes; swap is not given beyond it.
	MemoryLimit int64
	PidsLimit   int64
	// OOMScoreAdj is from -1000 to 1000; nil leaves the runtime's.
	OOMScoreAdj *int
}

// Security says as whom a container runs and what it may do. The zero value is the safe default of containerd: its
// capability set, its seccomp profile, masked paths.
type Security struct {
	// User and Group are numeric ids; nil takes the image's.
	User  *int64
	Group *int64
	// ExtraGroups are the supplemental groups beside those of the image's user.
	ExtraGroups []int64
	// StrictGroups leaves out the groups that the image's /etc/group gives its user.
	StrictGroups bool
	// NonRoot refuses to create the container if it would run as uid 0, or if that cannot be told.
	NonRoot bool
	// AddCapabilities and DropCapabilities are names without CAP_, or "ALL".
	AddCapabilities  []string
	DropCapabilities []string
	ReadOnlyRoot     bool
	Privileged       bool
	// NoNewPrivileges keeps set-uid programs from gaining rights.
	NoNewPrivileges bool
	// SeccompUnconfined leaves the default profile off; SeccompProfile replaces it by one from a file of this host, in
	// the runtime specification's JSON.
	SeccompUnconfined bool
	SeccompProfile    string
}

// ContainerSpec describes one run of one container of a pod. PodUID, Name and Run determine its id (ContainerID).
type ContainerSpec struct {
	PodUID    string
	Namespace string
	Pod       string
	Name      string
	// Run counts the starts of this container within its pod, from 0.
	Run int
	// Position is the log position of the assignment that this run obeys; it comes back in ContainerState.
	Position uint64
	// Image is a name as in the manifest; it must be present (Pull, Import).
	Image string
	// Command replaces the image's entrypoint and drops its cmd; Args replaces its cmd: Kubernetes' rules.
	Command []string
	Args    []string
	// Env are KEY=value entries that win over the image's; $(VAR) was expanded by the caller.
	Env []string
	// WorkingDir replaces the image's when not empty.
	WorkingDir string
	// Mounts are made in order of the depth of their ContainerPath.
	Mounts    []Mount
	Resources Resources
	Security  Security
	// ProcessesOf is the id of a running container whose process ids this one shares; empty for ids as the pod has them.
	ProcessesOf string
	// Sysctls are kernel settings of the pod's namespaces, by name with dots.
	Sysctls map[string]string
	// TTY gives a terminal; stderr is then part of stdout.
	TTY bool
	// Stdin keeps an input open for Attach; StdinOnce closes it when the first attached client leaves.
	Stdin     bool
	StdinOnce bool
	// LogPath is the CRI-format file to append to; its directory is made. Empty drops the output.
	LogPath string
	// Labels come back in ContainerState.
	Labels map[string]string
}

// Status is the stage a container is in; it only moves forward.
type Status string

// The stages of a container.
const (
	StatusCreated Status = "created"
	StatusRunning Status = "running"
	StatusExited  Status = "exited"
)

// ContainerState is a container found on this node.
type ContainerState struct {
	ID        string
	PodUID    string
	Namespace string
	Pod       string
	Name      string
	Run       int
	Position  uint64
	Image     string
	LogPath   string
	TTY       bool
	Labels    map[string]string
	Status    Status
	// Pid is that of the first process while Status is running.
	Pid       int
	CreatedAt time.Time
	StartedAt time.Time
	// Exit is set once Status is exited.
	Exit *Exit
}

// Exit says how a container's first process ended.
type Exit struct {
	ContainerID string
	PodUID      string
	Name        string
	Run         int
	// Code is the exit code, 128 plus the signal's number for a process that a signal ended.
	Code int
	// Signal is that number when Code says so; a program may also return such a code by itself, nobody can tell.
	Signal int
	// At is when the kernel told the shim.
	At time.Time
	// Strain is what the run met of its limits, whoever exited then.
	Strain Strain
	// Lost says that nobody saw the end: the machine restarted or the shim was killed. Code is 137 then.
	Lost bool
}

// Strain is what a container met of its limits since it began.
type Strain struct {
	// Kills counts the processes of the container that the kernel killed for want of memory.
	Kills int
	// Starved names them, "tail (pid 4711)", as far as the kernel's messages still tell; Machine says that the machine's
	// memory was used up then, and no container's.
	Starved string
	Machine bool
	// Refused counts the forks that the container was refused because it had PidsLimit processes.
	Refused   int
	PidsLimit int64
}

// ExecSpec is a further process in a running container.
type ExecSpec struct {
	Command []string
	TTY     bool
	// Size is the terminal's at the start; zero leaves it to the first Resize.
	Size Size
	// Env are added to the container's.
	Env []string
	// User is "uid", "uid:gid", or empty for the container's.
	User       string
	WorkingDir string
}

// Size is that of a terminal in characters.
type Size struct {
	Width  uint16
	Height uint16
}

// Streams connect a client to a process. Nil means: no input, output dropped, never resized. With a terminal Stderr is
// unused. A Read of Stdin may still wait when the call has returned: nobody but the caller can end it.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Resize <-chan Size
}

// Root is the root directory of a running container, opened to be looked at only, and as whom its first process runs.
type Root struct {
	Dir    *os.File
	UID    int
	GID    int
	Groups []int
}

// Stats are a container's figures read from its cgroup.
type Stats struct {
	At time.Time
	// CPU is the time spent since the start.
	CPU time.Duration
	// Memory is the usage in bytes; WorkingSet leaves out file pages that the kernel can drop at once, as kubectl top does.
	Memory     uint64
	WorkingSet uint64
	Pids       uint64
}
