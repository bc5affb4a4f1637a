package events

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Created says that an object exists from here on.
//
// Object is canonical JSON of apiVersion, kind, metadata (without uid,
// resourceVersion, generation, creationTimestamp, ownerReferences) and spec,
// without status. When Template is set, Object holds only the differences: for
// a pod the template is metadata.labels, metadata.annotations and spec; for a
// workload it is spec.template.
type Created struct {
	UID      UID             `json:"uid"`
	Owner    *Owner          `json:"owner,omitempty"`
	Template Hash            `json:"template,omitempty"`
	Object   json.RawMessage `json:"object"`
	// Applied is the manifest as a person last applied it, for the three-way
	// merge; absent when the object was not made by apply.
	Applied json.RawMessage `json:"applied,omitempty"`
	// Managed is metadata.managedFields, kept for the door that tells managers
	// apart; absent for objects that it never wrote.
	Managed json.RawMessage `json:"managed,omitempty"`
	// Set is the set of manifests that the object is a member of: what is in it
	// and no longer in the manifests may be pruned. Empty is no set.
	Set string `json:"set,omitempty"`
	// Owners are metadata.ownerReferences as a client wrote them, the controller
	// among them; absent when Owner says all that there is.
	Owners []metav1.OwnerReference `json:"owners,omitempty"`
}

// Changed says that an object is different from here on. It stands for the
// whole object, not for a patch, so that any event can be read by itself.
// It is void when UID is not the object's present life.
type Changed struct {
	UID        UID             `json:"uid"`
	Generation int64           `json:"generation"` // counts changes of the spec, from 1
	Owner      *Owner          `json:"owner,omitempty"`
	Template   Hash            `json:"template,omitempty"`
	Object     json.RawMessage `json:"object"`
	Applied    json.RawMessage `json:"applied,omitempty"` // carried on from before when a change is not an apply
	Managed    json.RawMessage `json:"managed,omitempty"` // carried on from before by doors that don't keep it
	Set        string          `json:"set,omitempty"`     // carried on likewise
	// Released are the finalizers of the deletion under way (foregroundDeletion,
	// orphan) that are gone from here on: what they stood for is done, or somebody
	// took them away.
	Released []string                `json:"released,omitempty"`
	Owners   []metav1.OwnerReference `json:"owners,omitempty"` // as in Created
}

// DeletionRequested says that somebody wants an object gone. A pod gets Grace
// seconds to stop; its node then says that it stopped. Orphan lets the children
// live on.
type DeletionRequested struct {
	UID    UID   `json:"uid"`
	Grace  int64 `json:"grace"` // seconds from the event's time
	Orphan bool  `json:"orphan,omitempty"`
	// Foreground asks that the object stays until its children are gone.
	Foreground bool `json:"foreground,omitempty"`
	// Force says that nobody waits for the pod's node: finalizers alone keep it.
	Force bool `json:"force,omitempty"`
	// For is the pod of higher priority that this one makes room for; zero for all
	// that go for another reason.
	For Ref `json:"for,omitzero"`
	// Disrupts is why a pod goes that its owner would have kept; empty for all that go for another reason.
	Disrupts Code `json:"disrupts,omitempty"`
}

// Why a pod goes that its owner would have kept, in Kubernetes' words.
const (
	ByEviction Code = "EvictionByEvictionAPI"  // somebody evicted it
	ByTaint    Code = "DeletionByTaintManager" // it does not tolerate its node's taints
	ByPodGC    Code = "DeletionByPodGC"        // its node is gone
)

// Removed says that an object is gone.
type Removed struct {
	UID UID `json:"uid"`
	// Shred says that the keys of a Secret's values are destroyed with it.
	Shred bool `json:"shred,omitempty"`
}

// Lease says who decides from here on; the event's sequence is the epoch.
type Lease struct {
	Holder string `json:"holder"` // the process: host name, pid and start
}

// Cut says that the log's history begins at a sequence from here on: what came
// before was kept for as long as it was to be. The fold forgets what only those
// events could ask for.
type Cut struct {
	First Seq `json:"first"`
}

// Assigned is one scheduling pass for one node. Pods in Withdrawn were taken
// from the node without ever having been its to run.
type Assigned struct {
	Pods      []Ref `json:"pods,omitempty"`
	Withdrawn []Ref `json:"withdrawn,omitempty"`
}

// Resized is what becomes of a wish for other resources of a pod that has a node:
// they are its from here on, or Refused says why not yet. It is void when the wish
// is another one by now, or was granted already.
type Resized struct {
	UID        UID    `json:"uid"`
	Generation int64  `json:"generation"`        // of the spec with the wish
	Refused    Code   `json:"refused,omitempty"` // Deferred, Infeasible; empty: granted
	Said       string `json:"said,omitempty"`    // why it was refused, with the numbers of that moment
}

// Why a node cannot give a pod the resources that it wishes for, in Kubernetes' words.
const (
	Deferred   Code = "Deferred"   // it has no room now
	Infeasible Code = "Infeasible" // it has less than that altogether
)

// NodeReported is the status of a node that its silence or return decides.
type NodeReported struct {
	UID    UID    `json:"uid"`
	Ready  bool   `json:"ready"`
	Reason string `json:"reason"` // "KubeletReady", "NodeStatusUnknown"
	Said   string `json:"said"`   // the condition's message
}

// StatusWritten is the status of any object, as somebody outside wrote it.
type StatusWritten struct {
	UID UID `json:"uid"`
	// Status is the difference from what is derived: fields, and conditions by
	// type. Empty leaves all as it is derived.
	Status json.RawMessage `json:"status,omitempty"`
	// Over are the derived values of the same fields and conditions. One that is
	// derived otherwise later has lapsed.
	Over json.RawMessage `json:"over,omitempty"`
	// Managed is as in Changed; absent leaves what is there.
	Managed json.RawMessage `json:"managed,omitempty"`
}

// StatusReported is status that cannot be derived: from a controller outside,
// or what a reconciler must remember.
type StatusReported struct {
	UID    UID             `json:"uid"`
	Status json.RawMessage `json:"status"` // the difference from what is derived
}
