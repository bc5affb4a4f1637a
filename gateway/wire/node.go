package wire

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// JoinRequest registers a node; asking again is harmless.
type JoinRequest struct {
	Node   string            `json:"node"`
	Facts  events.NodeFacts  `json:"facts"`
	Labels map[string]string `json:"labels,omitempty"`
}

// JoinReply tells the node its place.
type JoinReply struct {
	UID         events.UID     `json:"uid"`
	PodCIDR     string         `json:"podCIDR"`
	ClusterCIDR string         `json:"clusterCIDR"` // which every node's PodCIDR is a part of
	ServiceCIDR string         `json:"serviceCIDR"`
	DNS         string         `json:"dns"`
	Domain      string         `json:"domain"`
	Error       *metav1.Status `json:"error,omitempty"`
}

// TokenRequest names a node.
type TokenRequest struct {
	Node string `json:"node"`
}

// TokenReply is what a node shows to be let in; a secret.
type TokenReply struct {
	Token []byte         `json:"token,omitempty"`
	Error *metav1.Status `json:"error,omitempty"`
}

// DesiredRequest asks for all that a node shall run.
type DesiredRequest struct {
	Node string `json:"node"`
}

// OpenRequest asks for the values of the Secrets that a pod of a node mentions.
type OpenRequest struct {
	Node string     `json:"node"`
	Pod  events.Ref `json:"pod"`
}

// OpenReply has them by the Secret's name, in the clear; one that is not there is
// left out.
type OpenReply struct {
	Secrets map[string]projections.SecretData `json:"secrets"`
	Error   *metav1.Status                    `json:"error,omitempty"`
}

// AccessRequest asks for the tokens that the volumes of a node's pod want.
type AccessRequest struct {
	Node string     `json:"node"`
	Pod  events.Ref `json:"pod"`
}

// AccessReply has them, and the certificate that vouches for the API.
type AccessReply struct {
	Tokens []AccessToken  `json:"tokens"`
	Root   string         `json:"root,omitempty"`
	Error  *metav1.Status `json:"error,omitempty"`
}

// AccessToken is one token and its place; a secret.
type AccessToken struct {
	Volume string        `json:"volume"`
	Path   string        `json:"path"`
	Token  []byte        `json:"token"`
	Life   time.Duration `json:"life"` // from now on
}

// NetworkRequest asks for every service row.
type NetworkRequest struct{}

// The streams that node agents serve: req.<user>.node.<node>.<verb>.
const (
	NodeLogs    = "logs"    // LogsRequest; frames on channel Stdout
	NodeExec    = "exec"    // ExecRequest; frames both ways
	NodeAttach  = "attach"  // ExecRequest without Command; frames both ways
	NodeForward = "forward" // ForwardRequest; what a connection carries, on Stdin and Stdout
	NodeCopy    = "copy"    // CopyRequest; an archive on Stdout, or on Stdin
	NodeImport  = "import"  // an image archive on Stdin; the answer is a list of Imported on Stdout
)

// The channels of a node's streams.
const (
	Stdin       byte = 0
	Stdout      byte = 1
	Stderr      byte = 2
	Failed      byte = 3 // JSON metav1.Status: the end of the stream, with the exit code in details
	Resize      byte = 4 // JSON WindowSize
	StdinClosed byte = 5
)

// NodeSubject is where a user dials a node's stream.
func NodeSubject(user, node, verb string) string {
	return "req." + user + ".node." + events.Token(node) + "." + verb
}

// NodePattern is what an agent accepts on.
func NodePattern(node, verb string) string { return "req.*.node." + events.Token(node) + "." + verb }

// LogsRequest asks for a container's output.
type LogsRequest struct {
	Namespace  string     `json:"namespace"`
	Pod        string     `json:"pod"`
	UID        events.UID `json:"uid"`
	Container  string     `json:"container"`
	Follow     bool       `json:"follow,omitempty"`
	Previous   bool       `json:"previous,omitempty"`
	Run        int        `json:"run,omitempty"`  // of this run, counted from 1; 0 is the newest
	Tail       *int64     `json:"tail,omitempty"` // lines from the end; nil is all
	Since      time.Time  `json:"since,omitzero"`
	Until      time.Time  `json:"until,omitzero"` // not what was written after; also of a pod that is gone, if UID and Run are given
	Timestamps bool       `json:"timestamps,omitempty"`
	LimitBytes int64      `json:"limitBytes,omitempty"`
}

// ExecRequest asks to run a command in a container, or to attach to it.
type ExecRequest struct {
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	UID       events.UID `json:"uid"`
	Container string     `json:"container"`
	Command   []string   `json:"command,omitempty"`
	TTY       bool       `json:"tty,omitempty"`
	Stdin     bool       `json:"stdin,omitempty"`
	Size      WindowSize `json:"size,omitzero"`
}

// ForwardRequest asks for one TCP connection to a port on the loopback of a pod.
type ForwardRequest struct {
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	UID       events.UID `json:"uid"`
	Port      uint16     `json:"port"`
}

// CopyRequest asks for files of a container as a tar archive, or brings some.
// Names in the archive are relative to Path, which itself is "."; the end of one
// that is brought is StdinClosed.
type CopyRequest struct {
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	UID       events.UID `json:"uid"`
	Container string     `json:"container"`
	Path      string     `json:"path"`
	Write     bool       `json:"write,omitempty"`
	// Into, of Write: the name in Path when that is a directory already.
	Into string `json:"into,omitempty"`
	// NoPreserve, of Write: the container's user and plain modes, not the archive's.
	NoPreserve bool `json:"noPreserve,omitempty"`
}

// WindowSize is a terminal's.
type WindowSize struct{ Width, Height uint16 }

// Imported is one image that a node took out of an archive.
type Imported struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// CertifyRequest asks for a certificate that a volume of a node's pod wants: the node has made the key, and keeps it.
type CertifyRequest struct {
	Node    string     `json:"node"`
	Pod     events.Ref `json:"pod"`
	Volume  string     `json:"volume"`
	Source  int        `json:"source"`  // of the volume's, from 0
	Request []byte     `json:"request"` // PKCS #10, DER: the public key, and the proof of having the other one
}

// CertifyReply names the request that was made. What becomes of it comes with the pod's row.
type CertifyReply struct {
	Name  string         `json:"name,omitempty"`
	Error *metav1.Status `json:"error,omitempty"`
}
