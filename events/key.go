package events

import (
	"fmt"
	"strconv"
	"strings"
)

// Seq is a sequence of the log: a total order over everything. 0 means "none".
type Seq uint64

// rowBits is how many low bits of a Position hold the row's ordinal.
const rowBits = 16

// MaxRows is the most rows one event may change: ordinals are 16 bits wide.
const MaxRows = 1 << rowBits

// Position orders rows: sequence × 2¹⁶ + ordinal of the row within the event.
// It is the resourceVersion that people see.
type Position uint64

// At is the position of a row within an event.
func At(seq Seq, ordinal int) Position { return Position(uint64(seq)<<rowBits | uint64(ordinal)) }

// Seq is the event's sequence of a position.
func (p Position) Seq() Seq { return Seq(p >> rowBits) }

// String is the decimal form used as resourceVersion.
func (p Position) String() string { return strconv.FormatUint(uint64(p), 10) }

// UID identifies one life of an object; a UUIDv8 made by NewUID.
type UID string

// OpID identifies one operation, so that a lost acknowledgement can be settled.
type OpID string

// ChangeID names one wish of a person, whatever number of events follow from
// it: the id of the request. The empty one is no person's.
type ChangeID string

// Hash is the lower-case hex SHA-256 of a body stored by content.
type Hash string

// Resource is a plural with its API group: "pods", "deployments.apps".
type Resource string

// The resources that Stave knows. kinds.go says what each one is.
const (
	Namespaces     Resource = "namespaces"
	ConfigMaps     Resource = "configmaps"
	Secrets        Resource = "secrets"
	Accounts       Resource = "serviceaccounts"
	Pods           Resource = "pods"
	Services       Resource = "services"
	Nodes          Resource = "nodes"
	ReplicaSets    Resource = "replicasets.apps"
	Deployments    Resource = "deployments.apps"
	DaemonSets     Resource = "daemonsets.apps"
	Controllers    Resource = "replicationcontrollers"
	Jobs           Resource = "jobs.batch"
	CronJobs       Resource = "cronjobs.batch"
	Endpoints      Resource = "endpoints"
	EndpointSlices Resource = "endpointslices.discovery.k8s.io"
	Definitions    Resource = "customresourcedefinitions.apiextensions.k8s.io"

	Roles               Resource = "roles.rbac.authorization.k8s.io"
	RoleBindings        Resource = "rolebindings.rbac.authorization.k8s.io"
	ClusterRoles        Resource = "clusterroles.rbac.authorization.k8s.io"
	ClusterRoleBindings Resource = "clusterrolebindings.rbac.authorization.k8s.io"

	MutatingWebhooks   Resource = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
	ValidatingWebhooks Resource = "validatingwebhookconfigurations.admissionregistration.k8s.io"
	Budgets            Resource = "poddisruptionbudgets.policy"
	Quotas             Resource = "resourcequotas"
	LimitRanges        Resource = "limitranges"
	PriorityClasses    Resource = "priorityclasses.scheduling.k8s.io"
	PodTemplates       Resource = "podtemplates"
	StatefulSets       Resource = "statefulsets.apps"
	Revisions          Resource = "controllerrevisions.apps"
	Volumes            Resource = "persistentvolumes"
	Claims             Resource = "persistentvolumeclaims"
	StorageClasses     Resource = "storageclasses.storage.k8s.io"
	AttributesClasses  Resource = "volumeattributesclasses.storage.k8s.io"
	Attachments        Resource = "volumeattachments.storage.k8s.io"
	CSIDrivers         Resource = "csidrivers.storage.k8s.io"
	CSINodes           Resource = "csinodes.storage.k8s.io"
	CSICapacities      Resource = "csistoragecapacities.storage.k8s.io"
	RuntimeClasses     Resource = "runtimeclasses.node.k8s.io"
	CertRequests       Resource = "certificatesigningrequests.certificates.k8s.io"
	TrustBundles       Resource = "clustertrustbundles.certificates.k8s.io"
	PodCertRequests    Resource = "podcertificaterequests.certificates.k8s.io"
	Ingresses          Resource = "ingresses.networking.k8s.io"
	NetworkPolicies    Resource = "networkpolicies.networking.k8s.io"
	IngressClasses     Resource = "ingressclasses.networking.k8s.io"
	ServiceRanges      Resource = "servicecidrs.networking.k8s.io"
	Addresses          Resource = "ipaddresses.networking.k8s.io"
	FlowSchemas        Resource = "flowschemas.flowcontrol.apiserver.k8s.io"
	PriorityLevels     Resource = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
	Autoscalers        Resource = "horizontalpodautoscalers.autoscaling"
	DeviceClasses      Resource = "deviceclasses.resource.k8s.io"
	DeviceClaims       Resource = "resourceclaims.resource.k8s.io"
	DeviceTemplates    Resource = "resourceclaimtemplates.resource.k8s.io"
	DeviceSlices       Resource = "resourceslices.resource.k8s.io"
	DeviceTaints       Resource = "devicetaintrules.resource.k8s.io"
	Migrations         Resource = "storageversionmigrations.storagemigration.k8s.io"
	APIServices        Resource = "apiservices.apiregistration.k8s.io"
	Policies           Resource = "validatingadmissionpolicies.admissionregistration.k8s.io"
	PolicyBindings     Resource = "validatingadmissionpolicybindings.admissionregistration.k8s.io"

	MutatingPolicies       Resource = "mutatingadmissionpolicies.admissionregistration.k8s.io"
	MutatingPolicyBindings Resource = "mutatingadmissionpolicybindings.admissionregistration.k8s.io"

	// What clients write beside the log; these have no row in Kinds.

	Leases      Resource = "leases.coordination.k8s.io"
	Happenings  Resource = "events"               // as core/v1 tells them
	Happenings1 Resource = "events.events.k8s.io" // the same, as events.k8s.io/v1 does
)

// Key names an object: where it lives in the log and in every table.
// Namespace is empty for cluster-wide resources.
type Key struct {
	Resource  Resource `json:"resource"`
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"`
}

// String is "pods/default/web-1", or "nodes/n1" without a namespace.
func (k Key) String() string {
	if k.Namespace == "" {
		return string(k.Resource) + "/" + k.Name
	}
	return string(k.Resource) + "/" + k.Namespace + "/" + k.Name
}

// IsZero tells whether the key names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// ParseKey reads what String wrote.
func ParseKey(s string) (Key, error) {
	switch p := strings.Split(s, "/"); len(p) {
	case 2:
		return Key{Resource: Resource(p[0]), Name: p[1]}, nil
	case 3:
		return Key{Resource: Resource(p[0]), Namespace: p[1], Name: p[2]}, nil
	}
	return Key{}, fmt.Errorf("parse key %q: want resource/name or resource/namespace/name", s)
}

// Ref is a key with the life it means.
type Ref struct {
	Key
	UID UID `json:"uid"`
}

// Actor is who asked: "user:alice", "reconciler:deployment", "node:n1".
type Actor string

// User is a person's actor name.
func User(name string) Actor { return Actor("user:" + name) }

// Controller is a reconciler's actor name.
func Controller(name string) Actor { return Actor("reconciler:" + name) }

// nodeUser begins the user name of every node's agent, and of nobody else.
const nodeUser = "node-"

// NodeUser is the user name of a node's agent: one token of a subject.
func NodeUser(node string) string { return nodeUser + Token(node) }

// IsNodeUser tells whether a user is some node's agent.
func IsNodeUser(user string) bool { return strings.HasPrefix(user, nodeUser) }

// NodeActor is a node agent's actor name.
func NodeActor(name string) Actor { return Actor("node:" + name) }
