package projections

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// DesiredPod is one pod that a node shall run or stop: everything that its
// agent needs to know, and nothing that it has to ask for.
type DesiredPod struct {
	Position events.Position `json:"position"` // grows with each change of what the node has to do
	UID      events.UID      `json:"uid"`
	Assigned events.Seq      `json:"assigned"` // facts about the pod name this
	Pod      corev1.Pod      `json:"pod"`      // metadata and spec
	// Template names what a packed row leaves out of Pod; only on the wire, see FeedMessage.Pack.
	Template events.Hash `json:"template,omitempty"`
	// Stop asks the node to stop the pod, by Deadline at the latest; Why says
	// on whose wish. Force means that nobody waits for the answer.
	Stop     bool      `json:"stop,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
	// Grace is how long the pod has from when its node learns that it is to stop, in seconds: Deadline is by the log's clock, which the
	// node's may be far from. nil in what an older server says.
	Grace *int64 `json:"grace,omitempty"`
	Why   string `json:"why,omitempty"`
	// ConfigMaps holds the data of every ConfigMap that the spec names and that
	// exists, by name.
	ConfigMaps map[string]ConfigData `json:"configMaps,omitempty"`
	// Secrets likewise holds the Secrets that the spec names, their values sealed:
	// a node asks for what it needs to be opened.
	Secrets map[string]SecretData `json:"secrets,omitempty"`
	// Trust is what the spec's sources of trust anchors stand for, by TrustName; one that nothing stands for is left out.
	Trust map[string]TrustData `json:"trust,omitempty"`
	// Certificates are what became of the requests for the pod's certificates that this node made and that are kept, by name.
	Certificates map[string]CertificateData `json:"certificates,omitempty"`
	// Claims are the volumes behind the claims that the spec names and that have
	// one, by the pod's names for them.
	Claims map[string]DesiredVolume `json:"claims,omitempty"`
	// Services are what Kubernetes puts into a container's environment.
	Services []ServiceEnv `json:"services,omitempty"`
	// Runs are what is known of each container: after the loss of its disk a
	// node goes on counting from here.
	Runs map[string]int `json:"runs,omitempty"`
	// Access says that the pod's containers get a token for the API; the volume for
	// it is FillAccess's, and not in Pod.
	Access bool `json:"access,omitempty"`
	// Tokens are the contents of the pod's token files, by volume and path: only
	// in a node's memory, never in what is sent or kept.
	Tokens map[TokenFile][]byte `json:"-"`
	// Keys are the contents of the pod's certificates and keys: likewise.
	Keys map[CertPlace]KeyPair `json:"-"`
	// Misfit says that the pod names this node, and by selector or affinity wants another: the scheduler was not asked,
	// and the node does not begin it.
	Misfit bool `json:"misfit,omitempty"`
	// Named says that the pod's name is its own and may be given to the next one elsewhere: a node that was down, and has not been told yet
	// what became of it, does not begin it.
	Named bool `json:"named,omitempty"`
	// Rejected is why the pod, which names this node, is to fail here before it begins; nil for others.
	Rejected *Rejection `json:"rejected,omitempty"`
	// Resized is the event that granted the pod its present resources; 0 when it has those that it began with.
	Resized events.Seq `json:"resized,omitempty"`
	// Handler is what the pod's runtime class wants to run it with, empty when it has none; Classless says that there is
	// no class of that name any more.
	Handler   string `json:"handler,omitempty"`
	Classless bool   `json:"classless,omitempty"`
}

// Rejection is what a kubelet says of a pod that it does not take.
type Rejection struct {
	Reason  string `json:"reason"` // "OutOfcpu", "NodePorts"
	Message string `json:"message"`
}

// DesiredVolume is what lies behind a claim that a pod uses.
type DesiredVolume struct {
	Name string     `json:"name"` // of the PersistentVolume
	UID  events.UID `json:"uid"`
	// HostPath is of a directory or file that people keep; Local of a directory that is there, or nothing is mounted. Neither:
	// the node keeps the directory itself, makes it at first, and Made says that it did.
	HostPath *corev1.HostPathVolumeSource `json:"hostPath,omitempty"`
	Local    string                       `json:"local,omitempty"`
	Made     bool                         `json:"made,omitempty"`
	ReadOnly bool                         `json:"readOnly,omitempty"`
	// Barred is why a pod that has not begun gets nothing mounted; empty when nothing bars it.
	Barred string `json:"barred,omitempty"`
}

// ErasedVolume is a volume whose directory a node is to erase.
type ErasedVolume struct {
	Name string     `json:"name"`
	UID  events.UID `json:"uid"`
}

// TokenFile is the place of a token in a pod's volumes.
type TokenFile struct{ Volume, Path string }

// ConfigData is a ConfigMap's content.
type ConfigData struct {
	Data       map[string]string `json:"data,omitempty"`
	BinaryData map[string][]byte `json:"binaryData,omitempty"`
	Position   events.Position   `json:"position"`
}

// SecretData is a Secret's content.
type SecretData struct {
	Data     map[string][]byte `json:"data,omitempty"`
	Position events.Position   `json:"position"`
}

// ServiceEnv is a service of the pod's namespace at the time when it started.
type ServiceEnv struct {
	Name  string               `json:"name"`
	IP    string               `json:"ip"`
	Ports []corev1.ServicePort `json:"ports"`
}

// DesiredSet is all that a node shall run, as of a position.
type DesiredSet struct {
	Node     string          `json:"node"`
	Position events.Position `json:"position"`
	Epoch    events.Seq      `json:"epoch"`
	Pods     []DesiredPod    `json:"pods"`
	Bodies   Bodies          `json:"bodies,omitempty"` // what packed rows name
	Erase    []ErasedVolume  `json:"erase,omitempty"`
	// Cluster-wide settings that a pod's resolv.conf and environment need.
	DNS    string `json:"dns"`    // the cluster DNS service's address
	Domain string `json:"domain"` // "cluster.local"
}

// NetService is one service as the dataplane and DNS need it.
type NetService struct {
	Key             events.Key      `json:"key"`
	Position        events.Position `json:"position"`
	UID             events.UID      `json:"uid"`
	Type            string          `json:"type"`                // ClusterIP, NodePort, ExternalName
	ClusterIP       string          `json:"clusterIP,omitempty"` // "" when headless
	ExternalName    string          `json:"externalName,omitempty"`
	PublishNotReady bool            `json:"publishNotReady,omitempty"`
	AffinitySeconds int             `json:"affinitySeconds,omitempty"`
	Balancers       []string        `json:"balancers,omitempty"`  // its load balancers' IPv4 addresses, which nodes answer for
	HealthPort      int32           `json:"healthPort,omitempty"` // where each node tells load balancers whether it has endpoints
	Kept            Kept            `json:"kept,omitzero"`
	Others          bool            `json:"others,omitempty"` // another proxy carries its traffic; names stay
	Ports           []NetPort       `json:"ports"`
	Hosts           []NetHost       `json:"hosts,omitempty"` // every ready endpoint of a headless service, for its names
}

// Kept is which of a service's traffic is kept on the node where it is.
type Kept struct {
	Internal bool `json:"internal,omitempty"` // that to the ClusterIP
	External bool `json:"external,omitempty"` // that from outside to node ports and load balancers' addresses
	Rather   bool `json:"rather,omitempty"`   // all, where the node has a ready endpoint
}

// any tells whether it matters where endpoints are.
func (k Kept) any() bool { return k != Kept{} }

// NetPort is one port of a service with its backends.
type NetPort struct {
	Name      string   `json:"name,omitempty"`
	Protocol  string   `json:"protocol"` // TCP, UDP
	Port      int32    `json:"port"`
	NodePort  int32    `json:"nodePort,omitempty"`
	Endpoints []string `json:"endpoints"`          // the ready ones, "10.244.0.5:8080", sorted
	Draining  []string `json:"draining,omitempty"` // those that serve on while they end, where no ready one is
	// Local are the ready ones of each node, or else its draining ones; of a service that keeps traffic alone.
	Local map[string][]string `json:"local,omitempty"`
}

// NetHost is one endpoint's address and, when the pod has one, its host name.
type NetHost struct {
	IP       string `json:"ip"`
	Hostname string `json:"hostname,omitempty"`
	Node     string `json:"node,omitempty"`
}

// NetNode is one node as the others' routes need it.
type NetNode struct {
	Key      events.Key      `json:"key"`
	Position events.Position `json:"position"`
	PodCIDR  string          `json:"podCIDR,omitempty"` // its pods' network
	Address  string          `json:"address,omitempty"` // where that is reached
}

// NetSet is every service, node and NetworkPolicy, as of a position.
type NetSet struct {
	Position events.Position `json:"position"`
	Epoch    events.Seq      `json:"epoch"`
	Services []NetService    `json:"services"`
	Nodes    []NetNode       `json:"nodes,omitempty"`
	Policies []NetPolicy     `json:"policies,omitempty"`
}

// FeedMessage is what the node feed and the network feed carry: the changed
// rows and where they stand. Prev is the position of the message before it on
// the same feed. Who has read a set or taken messages up to Prev or beyond goes
// on from here; who has less missed something and reads the whole set again.
type FeedMessage struct {
	Position events.Position `json:"position"`
	Prev     events.Position `json:"prev"`
	Epoch    events.Seq      `json:"epoch"`
	Pods     []DesiredPod    `json:"pods,omitempty"`
	Bodies   Bodies          `json:"bodies,omitempty"` // what packed rows name
	Gone     []events.Ref    `json:"gone,omitempty"`   // no longer desired: stop and forget
	Erase    []ErasedVolume  `json:"erase,omitempty"`
	Services []NetService    `json:"services,omitempty"`
	Nodes    []NetNode       `json:"nodes,omitempty"`
	Policies []NetPolicy     `json:"policies,omitempty"`
	Dropped  []events.Key    `json:"dropped,omitempty"` // services, nodes and policies that are gone
}

// Beacon is published each second on BeaconSubject, so that a lost last message
// shows too.
type Beacon struct {
	Epoch   events.Seq      `json:"epoch"`
	Durable events.Seq      `json:"durable"` // the watermark: evidence above it has to be kept
	Network events.Position `json:"network"` // last position on the network feed
	// Nodes has the last position sent to each node whose turn it is: to all where there are few.
	Nodes map[string]events.Position `json:"nodes"`
}

// BeaconSubject is where beacons are published.
const BeaconSubject = "live.beacon"

// Heartbeat is what an agent publishes on HeartbeatSubject each HeartbeatEvery.
type Heartbeat struct {
	Node string          `json:"node"`
	Boot string          `json:"boot"` // of this agent process
	Load json.RawMessage `json:"load,omitempty"`
}

// HeartbeatEvery is how often an agent says that it lives.
const HeartbeatEvery = 2 * time.Second

// HeartbeatSubjects are where the heartbeats of all nodes go.
const HeartbeatSubjects = "hb.*"

// HeartbeatSubject is where a node's heartbeats go; its last token is the node.
func HeartbeatSubject(node string) string { return "hb." + events.Token(node) }
