// Package wire is the door's vocabulary: the requests that the CLI, agents and
// other programs send over NATS, the replies, and the frames of streams. It is
// pure types; gateway/api answers, both ends import this.
//
// Subjects are req.<user>.<verb>; the server's permissions allow a user no
// other second token, so the subject vouches for the actor. Bodies are JSON.
package wire

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// The verbs of the door, the last token of a request's subject.
const (
	VerbChange   = "change"   // ChangeRequest → ChangeReply
	VerbRead     = "read"     // ReadRequest → ReadReply
	VerbList     = "list"     // stream: ReadRequest without names, then frames of one ReadReply each: the pieces of one list
	VerbDescribe = "describe" // DescribeRequest → TextReply
	VerbWhy      = "why"      // WhyRequest → TextReply
	VerbTree     = "tree"     // WhyRequest → TextReply, JSON only: table.Branch
	VerbStatus   = "status"   // StatusRequest → TextReply
	VerbHistory  = "history"  // HistoryRequest → HistoryReply
	VerbCluster  = "cluster"  // ClusterRequest → ClusterReply
	VerbTail     = "tail"     // stream: TailRequest, then frames of one TailEvent each
	VerbState    = "state"    // stream: StateRequest, then frames: a StateHead, and the rows of the state in pieces
	VerbWatch    = "watch"    // stream: WatchRequest, then frames of one WatchEvent each
	VerbJoin     = "join"     // JoinRequest → JoinReply, asked by node agents
	VerbDesired  = "desired"  // DesiredRequest → DesiredReply, asked by node agents
	VerbToken    = "token"    // TokenRequest → TokenReply: what a node joins with
	VerbExpel    = "expel"    // TokenRequest → TokenReply without one: the node is let in no more
	VerbOpen     = "open"     // OpenRequest → OpenReply, asked by node agents
	VerbAccess   = "access"   // AccessRequest → AccessReply, asked by node agents
	VerbCertify  = "certify"  // CertifyRequest → CertifyReply, asked by node agents
	VerbKube     = "kube"     // stream: a connection to the Kubernetes API, on Stdin and Stdout, for the pods of a node
	VerbNetwork  = "network"  // NetworkRequest → NetworkReply, asked by node agents
)

// Subject is where a user's requests of a verb go.
func Subject(user, verb string) string { return "req." + user + "." + verb }

// Pattern is what a server of a verb listens on.
func Pattern(verb string) string { return "req.*." + verb }

// Operation is what a change does with each of its objects.
type Operation string

// The operations. Apply is three-way; the others are kubectl's.
const (
	Apply   Operation = "apply"
	Create  Operation = "create"
	Replace Operation = "replace"
	Delete  Operation = "delete"
	Scale   Operation = "scale"
	Evict   Operation = "evict"  // Delete of a pod that budgets may refuse
	Status  Operation = "status" // of Object, the status alone
	Bind    Operation = "bind"   // gives a pod to Node, as a scheduler does
)

// ChangeRequest asks for changes. Each item stands or falls alone, in order, as
// with kubectl, unless they are asked for whole.
type ChangeRequest struct {
	ID              string    `json:"id"` // the same for a retry of the same wish
	Operation       Operation `json:"operation"`
	Items           []Item    `json:"items"`
	Whole           bool      `json:"whole,omitempty"`           // all items in one append, or none of them
	Set             string    `json:"set,omitempty"`             // Apply: the items become members of this set of manifests
	Prune           bool      `json:"prune,omitempty"`           // Apply, whole: members of the set that are not among the items go
	Unmoved         []Read    `json:"unmoved,omitempty"`         // Whole: only when nothing of this has moved since it was read
	DryRun          bool      `json:"dryRun,omitempty"`          // decide, answer, append nothing
	Message         string    `json:"message,omitempty"`         // kept with the events: the command line, or what -m said
	Grace           *int64    `json:"grace,omitempty"`           // Delete: seconds, nil for the object's own
	Cascade         string    `json:"cascade,omitempty"`         // Delete: background (default), foreground, orphan
	Force           bool      `json:"force,omitempty"`           // Delete: do not wait for the node
	Shred           bool      `json:"shred,omitempty"`           // Delete: a Secret's values are gone for good, from the past too
	Replicas        int32     `json:"replicas,omitempty"`        // Scale
	CurrentReplicas *int32    `json:"currentReplicas,omitempty"` // Scale: only when it is this now
	Node            string    `json:"node,omitempty"`            // Bind
	Resize          bool      `json:"resize,omitempty"`          // Replace: what a pod's containers may use, and nothing else
	Brief           bool      `json:"brief,omitempty"`           // answer without the objects as they are then; a dry run tells them all the same
	Approval        bool      `json:"approval,omitempty"`        // Status: whether a request for a certificate is approved, and nothing else
}

// Item is one object of a change. Object is set for apply, create and replace;
// Key for delete and scale.
type Item struct {
	// Operation is this item's own, where it is not the request's.
	Operation Operation       `json:"operation,omitempty"`
	Object    json.RawMessage `json:"object,omitempty"` // as the person wrote it, as JSON, strictly decoded already
	Key       events.Key      `json:"key,omitzero"`
	// ResourceVersion and UID are preconditions; empty does not ask.
	ResourceVersion string     `json:"resourceVersion,omitempty"`
	UID             events.UID `json:"uid,omitempty"`
	// Found is what the door found wrong with values that are sealed by now; it
	// never crosses the wire.
	Found field.ErrorList `json:"-"`
}

// ChangeReply has one result an item, in order. When a whole change is refused,
// the results that have no error have no outcome either.
type ChangeReply struct {
	Results []Result       `json:"results"`
	Pruned  []Result       `json:"pruned,omitempty"` // members of the set that went, and those that had to stay
	Moved   []Moved        `json:"moved,omitempty"`  // of what should not have; nothing was appended then
	Error   *metav1.Status `json:"error,omitempty"`
}

// Read is an object that a decision rested on, and its last change then; 0 when
// it had never been there.
type Read struct {
	Key events.Key `json:"key"`
	Seq events.Seq `json:"seq,omitempty"`
}

// Moved is an object that changed since it was read, and its newest change.
type Moved struct {
	Read
	Now     events.Seq   `json:"now"`
	Time    time.Time    `json:"time"`
	Actor   events.Actor `json:"actor"`
	What    string       `json:"what"` // in a few words
	Message string       `json:"message,omitempty"`
}

// Result says what became of one item.
type Result struct {
	Key      events.Key      `json:"key"`
	UID      events.UID      `json:"uid,omitempty"`
	Outcome  string          `json:"outcome,omitempty"`  // created, configured, unchanged, replaced, deleted, scaled
	Seq      events.Seq      `json:"seq,omitempty"`      // of the event, 0 when nothing was appended
	Object   json.RawMessage `json:"object,omitempty"`   // as it is now
	Warnings []string        `json:"warnings,omitempty"` // fields that nothing honours, …
	Error    *metav1.Status  `json:"error,omitempty"`    // reason, message, and a cause per field
}

// ReadRequest asks for objects. Names empty means a list.
type ReadRequest struct {
	Resource      events.Resource `json:"resource"`
	Namespace     string          `json:"namespace,omitempty"` // empty: all
	Names         []string        `json:"names,omitempty"`
	LabelSelector string          `json:"labelSelector,omitempty"`
	FieldSelector string          `json:"fieldSelector,omitempty"`
	MinSeq        events.Seq      `json:"minSeq,omitempty"` // wait until this is folded and durable
	At            Moment          `json:"at,omitzero"`      // as it was then
}

// ReadReply has the objects in the order of namespace and name.
type ReadReply struct {
	Position events.Position   `json:"position"`
	Now      time.Time         `json:"now"` // ages count from here
	Objects  []json.RawMessage `json:"objects"`
	Missing  []string          `json:"missing,omitempty"` // of Names
	Error    *metav1.Status    `json:"error,omitempty"`
}

// DescribeRequest asks for one object told at length.
type DescribeRequest struct {
	Key    events.Key `json:"key"`
	MinSeq events.Seq `json:"minSeq,omitempty"`
	At     Moment     `json:"at,omitzero"` // as it was then
}

// WhyRequest asks why an object is as it is.
type WhyRequest struct {
	Key    events.Key `json:"key"`
	At     Moment     `json:"at,omitzero"`    // as it was then
	Home   string     `json:"home,omitempty"` // the namespace that the asker's commands mean by themselves
	MinSeq events.Seq `json:"minSeq,omitempty"`
}

// StatusRequest asks what is wrong.
type StatusRequest struct {
	Namespace string `json:"namespace,omitempty"` // only in this one; empty is all
	At        Moment `json:"at,omitzero"`         // as it was then
	Home      string `json:"home,omitempty"`      // the namespace that the asker's commands mean by themselves
}

// TextReply is text for people and the same as JSON for programs.
type TextReply struct {
	Text    string          `json:"text,omitempty"`
	JSON    json.RawMessage `json:"json,omitempty"`
	Error   *metav1.Status  `json:"error,omitempty"`
	Horizon *Horizon        `json:"horizon,omitempty"` // when history that was cut off might have told more
}

// HistoryRequest asks for the changes of one object, also after its deletion.
type HistoryRequest struct {
	Key events.Key `json:"key"`
	At  Moment     `json:"at,omitzero"` // up to then
	// Diff asks what each change did to which field.
	Diff bool `json:"diff,omitempty"`
	// Plain leaves out the bodies: of a large object that changed often they are
	// more than one answer holds.
	Plain bool `json:"plain,omitempty"`
}

// HistoryReply has one row a change, oldest first.
type HistoryReply struct {
	Rows    []TailEvent    `json:"rows,omitempty"`
	Error   *metav1.Status `json:"error,omitempty"`
	Horizon *Horizon       `json:"horizon,omitempty"` // when history that was cut off might have told more
}

// TailRequest asks for envelopes.
type TailRequest struct {
	From   events.Seq `json:"from,omitempty"` // 0: from now on
	Since  Moment     `json:"since,omitzero"` // instead of From: after this moment
	Last   int        `json:"last,omitempty"` // begin so many events before the end
	Follow bool       `json:"follow,omitempty"`
	Filter TailFilter `json:"filter,omitzero"`
}

// TailFilter keeps the events that match every field that is set.
type TailFilter struct {
	Type  string     `json:"type,omitempty"` // a type, or a prefix that ends in *
	Actor string     `json:"actor,omitempty"`
	Cause events.Seq `json:"cause,omitempty"` // the event itself and all that followed from it
	Key   events.Key `json:"key,omitzero"`
}

// TailEvent is one envelope for people.
type TailEvent struct {
	Seq     events.Seq     `json:"seq"`
	Time    time.Time      `json:"time"`
	Subject events.Subject `json:"subject"`
	Type    events.Type    `json:"type"`
	Actor   events.Actor   `json:"actor"`
	Cause   events.Seq     `json:"cause,omitempty"`
	Basis   events.Seq     `json:"basis,omitempty"`
	Epoch   events.Seq     `json:"epoch,omitempty"`
	Message string         `json:"message,omitempty"`
	What    string         `json:"what,omitempty"` // in a few words, for people
	Void    bool           `json:"void,omitempty"`
	Diff    []string       `json:"diff,omitempty"` // of a history: a line a field that the change touched
	// What the log keeps for programs: with it the envelope is whole.
	Version    int             `json:"version,omitempty"`
	Now        time.Time       `json:"now,omitzero"`
	Op         events.OpID     `json:"op,omitempty"`
	Change     events.ChangeID `json:"change,omitempty"`
	Reconciler string          `json:"reconciler,omitempty"`
	Body       json.RawMessage `json:"body,omitempty"`
}

// Envelope is the event as the log holds it.
func (t TailEvent) Envelope() events.Envelope {
	return events.Envelope{Subject: t.Subject, Seq: t.Seq, Time: t.Time, Type: t.Type, Version: t.Version, Actor: t.Actor, Cause: t.Cause, Basis: t.Basis,
		Epoch: t.Epoch, Now: t.Now, Op: t.Op, Change: t.Change, Reconciler: t.Reconciler, Message: t.Message, Body: t.Body}
}

// WatchRequest asks for changes of objects after a read, or, with At, for every
// change after a moment of the past.
type WatchRequest struct {
	ReadRequest
	From events.Position `json:"from,omitempty"` // what the read answered
	// Each asks for every change since From as it happened, with the time that it
	// had; else an object that changed several times is told of once.
	Each bool `json:"each,omitempty"`
}

// WatchEvent is one change. A DELETED one holds only kind and name, and is also
// sent for objects that the watch never showed: ignore those.
type WatchEvent struct {
	Type     string          `json:"type"` // ADDED, MODIFIED, DELETED
	Position events.Position `json:"position"`
	Now      time.Time       `json:"now"` // ages count from here
	Object   json.RawMessage `json:"object"`
}

// ClusterRequest asks what the cluster is.
type ClusterRequest struct{}

// ClusterReply says what the cluster is.
type ClusterReply struct {
	Name    string     `json:"name"`
	Version string     `json:"version"`
	Seq     events.Seq `json:"seq"`
	Durable events.Seq `json:"durable"`
	Epoch   events.Seq `json:"epoch"`
	Holder  string     `json:"holder"`
	Nodes   int        `json:"nodes"`
	Ready   int        `json:"ready"`
	Address string     `json:"address"`
	DNS     string     `json:"dns"`
	Void    uint64     `json:"void"`
	Unknown uint64     `json:"unknown"`
	Horizon *Horizon   `json:"horizon,omitempty"` // where the log begins, when it was cut
}
