package projections

import (
	"encoding/json"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// dump is what Dump writes: everything that the fold keeps.
type dump struct {
	Seq           events.Seq
	Time          string
	Epoch         events.Seq
	Holder        string
	Void, Unknown uint64
	Horizon       events.Seq `json:",omitempty"`
	Objects       []dumpObject
	Pods          []Pod
	Nodes         []Node
	Used          map[string]Usage
	Crowds        map[string][]Headcount
	Minding       []string
	Children      []string
	Dependents    []string `json:",omitempty"`
	OnNode        []string
	Templates     map[string]json.RawMessage
	Verdicts      []Verdict
	LastSpec      map[string]events.Seq
	Ops           map[string]events.Seq
	Wishes        []Wish                `json:",omitempty"`
	Made          []Made                `json:",omitempty"`
	Idle          map[string]events.Seq `json:",omitempty"` // templates
}

// dumpObject is a row without what is only decoded from it.
type dumpObject struct {
	Key              events.Key
	UID              events.UID
	Owner            *events.Owner
	Created, Changed Mark
	Position         events.Position
	Generation       int64
	Deletion         *Deletion
	Born             uint64
	Tally            Tally
	Rollout          *Rollout
	Budget           *Budget                   `json:",omitempty"`
	Ration           *Ration                   `json:",omitempty"`
	Job              *Job                      `json:",omitempty"`
	Cron             *Cron                     `json:",omitempty"`
	Revisions        *events.RevisionsReported `json:",omitempty"`
	Disk             *Disk                     `json:",omitempty"`
	Scaler           *Scaler                   `json:",omitempty"`
	Template         events.Hash
	Raw              json.RawMessage
	Applied, Status  json.RawMessage         `json:",omitempty"`
	Over             json.RawMessage         `json:",omitempty"`
	Managed          json.RawMessage         `json:",omitempty"`
	Set              string                  `json:",omitempty"`
	Owners           []metav1.OwnerReference `json:",omitempty"`
}

// Dump writes the whole state as JSON, always the same for the same state: two
// folds of one log are equal when their dumps are.
func (s State) Dump() []byte {
	d := dump{Seq: s.Seq, Time: s.Time.UTC().Format("2006-01-02T15:04:05.999999999Z"), Epoch: s.Epoch, Holder: s.Holder, Void: s.Void, Unknown: s.Unknown, Horizon: s.Horizon, Idle: map[string]events.Seq{},
		Crowds: map[string][]Headcount{}, Used: table(s.used), LastSpec: table(s.lastSpec), Ops: map[string]events.Seq{}, Templates: map[string]json.RawMessage{}}
	for _, x := range slices.Concat(s.oldOps.kept(), s.ops.kept()) {
		d.Ops[x.Key] = x.Seq
	}
	for o := range s.All() {
		d.LastSpec[rowKey(o.Key)] = o.last
		d.Objects = append(d.Objects, dumped(o))
	}
	for p := range s.allPods() {
		d.Pods = append(d.Pods, *p)
	}
	for n := range s.nodes.below("") {
		d.Nodes = append(d.Nodes, *n)
	}
	for v := range s.verdicts.below("") {
		d.Verdicts = append(d.Verdicts, *v)
	}
	for w := range s.wishes.below("") {
		d.Wishes = append(d.Wishes, *w)
	}
	d.Made = s.LastMade()
	for t := range s.templates.below("") {
		d.Templates[string(t.Hash)] = t.Raw
	}
	for _, x := range s.idle() {
		d.Idle[x.Key] = x.Seq
	}
	for id, c := range s.crowds.all() {
		d.Crowds[id] = slices.Collect(c.On())
	}
	d.Minding = append(keysOf(s.labelled), keysOf(s.minding)...)
	d.Children, d.OnNode, d.Dependents = keysOf(s.children), keysOf(s.onNode), keysOf(s.dependents)
	return events.MustBody(d)
}

func dumped(o *Object) dumpObject {
	d := dumpObject{Key: o.Key, UID: o.UID, Owner: o.Owner, Created: o.Created, Changed: o.Changed, Position: o.Position, Generation: o.Generation,
		Deletion: o.Deletion, Born: o.Born, Tally: o.Tally, Rollout: o.Rollout, Budget: o.Budget, Ration: o.Ration, Job: o.Job, Cron: o.Cron, Revisions: o.Revisions, Disk: o.Disk, Scaler: o.Scaler, Raw: o.Raw, Applied: o.Applied, Status: o.Status, Over: o.Over, Managed: o.Managed, Set: o.Set, Owners: o.Owners}
	if o.Template != nil {
		d.Template = o.Template.Hash
	}
	return d
}

func table[T any](t tree[T]) map[string]T { return maps.Collect(t.all()) }

func keysOf[T any](t tree[T]) []string {
	var out []string
	for k := range t.all() {
		out = append(out, k)
	}
	return out
}
