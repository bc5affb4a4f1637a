package wire

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// The verbs of time beside those of wire.go.
const (
	VerbBlame    = "blame"    // WhyRequest → TextReply: each field and who last set it
	VerbRestarts = "restarts" // WhyRequest → TextReply: every run of a pod's containers
	VerbUndo     = "undo"     // UndoRequest → UndoReply
	VerbRevision = "revision" // RevisionRequest → RevisionReply
	VerbChanges  = "changes"  // ChangesRequest → ChangesReply
	VerbForesee  = "foresee"  // ForeseeRequest → ForeseeReply
	VerbSeal     = "seal"     // SealRequest → SealReply
)

// SealRequest asks that all that is durable is sealed, for an archive.
type SealRequest struct{}

// SealReply says up to where the log is sealed, and where its newest checkpoint stands.
type SealReply struct {
	Error      *metav1.Status `json:"error,omitempty"`
	Seq        events.Seq     `json:"seq"`
	Checkpoint events.Seq     `json:"checkpoint"`
}

// StateRequest asks for the whole state as it was at a moment, for whoever goes on folding from it.
type StateRequest struct {
	At Moment `json:"at"`
}

// StateHead begins the answer. The frames after it are what projections.Restore reads, in order.
type StateHead struct {
	Seq     events.Seq `json:"seq"`     // 0 for a moment before the log: nothing follows
	Version int        `json:"version"` // of its rows
}

// UndoRequest asks for the inverse of a person's change.
type UndoRequest struct {
	ID      string     `json:"id"`                // the same for a retry of the same wish
	Seq     events.Seq `json:"seq,omitempty"`     // of any event of the change
	Change  string     `json:"change,omitempty"`  // instead: the change's id, or how it begins
	Only    bool       `json:"only,omitempty"`    // that event alone, not all that was one change with it
	Preview bool       `json:"preview,omitempty"` // decide, answer, append nothing
	Force   bool       `json:"force,omitempty"`   // go on over changes that came later
	Message string     `json:"message,omitempty"` // kept beside "undo of N"
}

// RevisionRequest asks what a revision of a workload ran with.
type RevisionRequest struct {
	Set events.Key `json:"set"` // what keeps it: a ReplicaSet, or a ControllerRevision
}

// RevisionReply has the ConfigMaps and Secrets that the revision's pods mention, as they were
// when the last of these pods was made.
type RevisionReply struct {
	Seq     events.Seq      `json:"seq"` // of that pod, or of what keeps the revision if it never had one
	Time    time.Time       `json:"time"`
	Configs []RevisedConfig `json:"configs,omitempty"`
	Error   *metav1.Status  `json:"error,omitempty"`
	Horizon *Horizon        `json:"horizon,omitempty"` // when history that was cut off might have told more
}

// RevisedConfig is one ConfigMap or Secret that differs now from what the revision
// ran with.
type RevisedConfig struct {
	Resource events.Resource `json:"resource"`
	Name     string          `json:"name"`
	Then     json.RawMessage `json:"then"`           // the object
	Gone     bool            `json:"gone"`           // there is none of its name now
	Lost     bool            `json:"lost,omitempty"` // a Secret whose values nobody can open any more
}

// ChangesRequest asks what people changed last.
type ChangesRequest struct {
	Last int `json:"last,omitempty"` // how many changes
}

// ChangesReply has one row a change, the newest first.
type ChangesReply struct {
	Now     time.Time      `json:"now"`
	Changes []MadeChange   `json:"changes,omitempty"`
	Error   *metav1.Status `json:"error,omitempty"`
	Horizon *Horizon       `json:"horizon,omitempty"` // when history that was cut off might have told more
}

// MadeChange is one wish of a person and what it led to directly.
type MadeChange struct {
	ID      events.ChangeID `json:"id,omitempty"` // empty for what was written before changes had ids
	Seq     events.Seq      `json:"seq"`          // of its first event
	Time    time.Time       `json:"time"`
	Actor   events.Actor    `json:"actor"`
	Message string          `json:"message,omitempty"`
	What    string          `json:"what"`  // its first event in a few words
	Count   int             `json:"count"` // of its events
}

// UndoReply has one result an object, in the order of the undo: "restored" to
// what it was, "created" again, or "deleted".
type UndoReply struct {
	Results []Result       `json:"results,omitempty"`
	Error   *metav1.Status `json:"error,omitempty"`
}

// ForeseeRequest asks what would become of the cluster; nothing is appended.
// The changes are made in the order of the fields on a fork of the state, which
// is then driven until it rests.
type ForeseeRequest struct {
	At       Moment              `json:"at,omitzero"`        // fork the past
	AddNodes []map[string]string `json:"addNodes,omitempty"` // what each has to give: cpu, memory, pods
	Items    []Item              `json:"items,omitempty"`    // to be applied, as one change
	Set      string              `json:"set,omitempty"`      // of which the items become members
	Prune    bool                `json:"prune,omitempty"`    // members of the set that are not among the items go
	Scale    []ScaleTo           `json:"scale,omitempty"`
	Drain    []string            `json:"drain,omitempty"` // nodes to be cordoned and emptied
	Lose     []string            `json:"lose,omitempty"`  // nodes that fall silent
}

// ScaleTo is how many replicas a workload would have.
type ScaleTo struct {
	Key      events.Key `json:"key"`
	Replicas int32      `json:"replicas"`
}

// ForeseeReply has one result an item and a scale, in order, and what would
// become of the pods, as text and as JSON.
type ForeseeReply struct {
	Seq     events.Seq      `json:"seq"`             // of the state that was forked
	Reads   []Read          `json:"reads,omitempty"` // what the answer rests on
	Moves   bool            `json:"moves,omitempty"` // something becomes of a pod
	Results []Result        `json:"results,omitempty"`
	Pruned  []Result        `json:"pruned,omitempty"`
	Text    string          `json:"text,omitempty"`
	JSON    json.RawMessage `json:"json,omitempty"`
	Error   *metav1.Status  `json:"error,omitempty"`
}
