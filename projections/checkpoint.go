package projections

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// KeptVersion is the version of the rows that Keep writes, and the newest that
// Restore can read. Like an event's body, a row that changes shape raises it,
// gets a step in Restore, and leaves a frozen sample in testdata.
const KeptVersion = 1

// keptHead begins a checkpoint; the rows follow, so many of each kind.
type keptHead struct {
	Seq           events.Seq
	Time          time.Time
	Epoch         events.Seq
	Holder        string
	Void, Unknown uint64
	Horizon       events.Seq `cbor:",omitempty"`

	Templates, Objects, Pods, Nodes, Verdicts, Gone, Ops, OldOps int
	Wishes, Made, OldMade                                        int `cbor:",omitempty"` // a checkpoint of before has none

	Idle int `cbor:",omitempty"` // templates that no object has
}

// keptObject is a row without what is a function of other rows.
type keptObject struct {
	Key              events.Key
	UID              events.UID
	Owner            *events.Owner `cbor:",omitempty"`
	Created, Changed Mark
	Position         events.Position
	Generation       int64
	Deletion         *Deletion                 `cbor:",omitempty"`
	Born             uint64                    `cbor:",omitempty"`
	Rollout          *Rollout                  `cbor:",omitempty"`
	Budget           *Budget                   `cbor:",omitempty"`
	Job              *Job                      `cbor:",omitempty"`
	Cron             *Cron                     `cbor:",omitempty"`
	Revisions        *events.RevisionsReported `cbor:",omitempty"`
	Disk             *Disk                     `cbor:",omitempty"`
	Scaler           *Scaler                   `cbor:",omitempty"`
	Template         events.Hash               `cbor:",omitempty"`
	Raw              json.RawMessage           // nil and empty are not the same
	Applied, Status  json.RawMessage
	Managed          json.RawMessage `cbor:",omitzero"`
	Over             json.RawMessage `cbor:",omitzero"`
	Set              string          `cbor:",omitempty"`
	LastSpec         events.Seq
	Owners           []metav1.OwnerReference `cbor:",omitempty"`
}

// keptSeq is an entry of a table of sequences.
type keptSeq struct {
	_   struct{} `cbor:",toarray"`
	Key string
	Seq events.Seq
}

// keeping encodes: the same state always gives the same bytes.
var keeping = must(cbor.EncOptions{Sort: cbor.SortCoreDeterministic, Time: cbor.TimeRFC3339Nano}.EncMode())

// restoring takes back whatever rows there are: a checkpoint is as large as its cluster.
var restoring = must(cbor.DecOptions{MaxArrayElements: 1 << 30, MaxMapPairs: 1 << 30}.DecMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options are constants
	}
	return v
}

// Keep writes the base facts of a state: what events said, with the positions
// that they had. What is a function of these rows is left out.
func (s State) Keep(w io.Writer) error {
	to := keeping.NewEncoder(w)
	gone, idle := seqs(s.lastSpec), s.idle()
	head := keptHead{Seq: s.Seq, Time: s.Time, Epoch: s.Epoch, Holder: s.Holder, Void: s.Void, Unknown: s.Unknown, Horizon: s.Horizon,
		Templates: s.templates.len(), Objects: s.objects.len(), Pods: s.countPods(), Nodes: s.nodes.len(), Verdicts: s.verdicts.len(),
		Gone: len(gone), Ops: s.ops.size, OldOps: s.oldOps.size, Wishes: s.wishes.len(), Made: s.made.len(), OldMade: s.oldMade.len(), Idle: len(idle)}
	err := to.Encode(head)
	each := func(row any) {
		if err == nil {
			err = to.Encode(row)
		}
	}
	for t := range s.templates.below("") {
		each([]byte(t.Raw))
	}
	var row keptObject // one for all: a cluster has many
	for o := range s.All() {
		row = s.keep(o)
		each(&row)
	}
	for p := range s.allPods() {
		each(p)
	}
	for n := range s.nodes.below("") {
		each(n)
	}
	for v := range s.verdicts.below("") {
		each(v)
	}
	for _, x := range slices.Concat(gone, s.ops.kept(), s.oldOps.kept()) {
		each(x)
	}
	for w := range s.wishes.below("") {
		each(w)
	}
	for _, l := range []*madeList{s.made, s.oldMade} {
		for m := range l.all() {
			each(m)
		}
	}
	for _, x := range idle {
		each(x)
	}
	if err != nil {
		return fmt.Errorf("write checkpoint of %d: %w", s.Seq, err)
	}
	return nil
}

// madeOf makes the list of rows that were written newest first.
func madeOf(rows []Made) *madeList {
	var l *madeList
	for _, m := range slices.Backward(rows) {
		l = l.push(m)
	}
	return l
}

func (s State) keep(o *Object) keptObject {
	k := keptObject{Key: o.Key, UID: o.UID, Owner: o.Owner, Created: o.Created, Changed: o.Changed, Position: o.Position, Generation: o.Generation,
		Deletion: o.Deletion, Born: o.Born, Rollout: o.Rollout, Budget: o.Budget, Job: o.Job, Cron: o.Cron, Revisions: o.Revisions, Disk: o.Disk, Scaler: o.Scaler, Raw: o.Raw, Applied: o.Applied, Status: o.Status, Over: o.Over, Managed: o.Managed, Set: o.Set, LastSpec: o.last, Owners: o.Owners}
	if o.Template != nil {
		k.Template = o.Template.Hash
	}
	return k
}

// idle are the templates that no object has, each with since when.
func (s State) idle() []keptSeq {
	var out []keptSeq
	for t := range s.templates.below("") {
		if t.Idle != 0 {
			out = append(out, keptSeq{Key: string(t.Hash), Seq: t.Idle})
		}
	}
	return out
}

func seqs(t tree[events.Seq]) []keptSeq {
	out := make([]keptSeq, 0, t.len())
	for k, seq := range t.all() {
		out = append(out, keptSeq{Key: k, Seq: seq})
	}
	return out
}

// Restore reads what Keep wrote, in any version that there was, and derives the
// rest anew. Folding on from it gives what folding the whole log gives.
func Restore(version int, r io.Reader) (State, error) {
	if version != KeptVersion {
		return State{}, fmt.Errorf("read checkpoint: its rows have version %d, this program knows %d", version, KeptVersion)
	}
	b := restorer{from: restoring.NewDecoder(r)}
	s := b.state()
	if b.err == nil && b.from.Decode(new(any)) != io.EOF {
		b.err = errors.New("there is more than its head says")
	}
	if b.err != nil {
		return State{}, fmt.Errorf("read checkpoint: %w", b.err)
	}
	return s, nil
}

// restorer is one Restore under way; after an error it reads nothing more.
type restorer struct {
	from *cbor.Decoder
	err  error
	s    State
}

// take reads the next row.
func take[T any](b *restorer) (row T) {
	if b.err == nil {
		b.err = b.from.Decode(&row)
	}
	return row
}

// some reads n rows. A head that lies about n ends at the end of the file.
func some[T any](b *restorer, n int) []T {
	var out []T
	for range n {
		row := take[T](b)
		if b.err != nil {
			return nil
		}
		out = append(out, row)
	}
	return out
}

func (b *restorer) state() State {
	h := take[keptHead](b)
	b.s = State{Seq: h.Seq, Time: h.Time, Epoch: h.Epoch, Holder: h.Holder, Void: h.Void, Unknown: h.Unknown, Horizon: h.Horizon}
	for _, raw := range some[[]byte](b, h.Templates) {
		hash := events.HashOf(raw)
		b.s.templates = b.s.templates.with(string(hash), &Template{Hash: hash, Raw: raw})
	}
	objects := some[keptObject](b, h.Objects)
	pods, nodes, verdicts := some[*Pod](b, h.Pods), some[*Node](b, h.Nodes), some[*Verdict](b, h.Verdicts)
	gone, ops, old := some[keptSeq](b, h.Gone), some[keptSeq](b, h.Ops), some[keptSeq](b, h.OldOps)
	wishes, made, oldMade := some[*Wish](b, h.Wishes), some[Made](b, h.Made), some[Made](b, h.OldMade)
	b.idle(some[keptSeq](b, h.Idle))
	if b.err != nil {
		return State{}
	}
	b.objects(objects, gone)
	b.s.kinds = b.s.definedKinds()
	b.pods(pods)
	b.s.countQuotas() // of all rows there are by now
	for _, n := range nodes {
		n.Has = has(n.Facts)
		if o, ok := b.s.Get(events.Key{Resource: events.Nodes, Name: n.Name}); ok {
			n.Has = nodeHas(o, n.Facts)
		}
		b.s.nodes = b.s.nodes.with(n.Name, n)
	}
	for _, v := range verdicts {
		b.s.verdicts = b.s.verdicts.with(rowKey(v.Key), v)
	}
	b.s.ops, b.s.oldOps = operationsOf(ops), operationsOf(old)
	b.s.wishes = treeOf(wishes, func(i int) (string, *Wish) { return wishKey(wishes[i].Actor, wishes[i].ID), wishes[i] })
	b.s.made, b.s.oldMade = madeOf(made), madeOf(oldMade)
	return b.s
}

// idle marks the templates that no object has.
func (b *restorer) idle(rows []keptSeq) {
	for _, x := range rows {
		t, ok := b.s.Template(events.Hash(x.Key))
		if !ok {
			b.err = fmt.Errorf("template %s is idle, but not there", x.Key)
			return
		}
		b.s.templates = b.s.templates.with(x.Key, &Template{Hash: t.Hash, Raw: t.Raw, Idle: x.Seq})
	}
}

func seqTree(rows []keptSeq) tree[events.Seq] {
	return treeOf(rows, func(i int) (string, events.Seq) { return rows[i].Key, rows[i].Seq })
}

// objects enters the rows, their owners' lists and the selectors.
func (b *restorer) objects(rows []keptObject, gone []keptSeq) {
	all := make([]*Object, len(rows))
	children := make([]string, len(rows))
	for i, k := range rows {
		o := &Object{Key: k.Key, UID: k.UID, Owner: k.Owner, Created: k.Created, Changed: k.Changed, Position: k.Position, Generation: k.Generation,
			Deletion: k.Deletion, Raw: k.Raw, last: k.LastSpec, Extras: Extras{Born: k.Born, Rollout: k.Rollout, Budget: k.Budget, Job: k.Job, Cron: k.Cron, Revisions: k.Revisions,
				Disk: k.Disk, Scaler: k.Scaler, Applied: k.Applied, Status: k.Status, Over: k.Over, Managed: k.Managed, Set: k.Set, Owners: k.Owners}.shared()}
		if k.Template != "" {
			t, ok := b.s.Template(k.Template)
			if !ok {
				b.err = fmt.Errorf("%s refers to template %s, which is not there", k.Key, k.Template)
				return
			}
			o.Template = t
		}
		all[i], children[i] = o, childKey(o)
		for _, uid := range o.others() {
			b.s.dependents = b.s.dependents.with(dependentKey(uid, o), o.Key)
		}
	}
	b.s.objects = treeOf(all, func(i int) (string, *Object) { return rowKey(all[i].Key), all[i] })
	b.s.lastSpec = seqTree(gone)
	b.s.children = keyTree(children)
	for o := range b.s.List(events.Services, "") {
		if key, ok := selectorKey(o); ok {
			b.s.selectors = b.s.selectors.with(key, o.Key)
		}
	}
}

// keyTree is a tree of nothing but keys.
func keyTree(keys []string) tree[struct{}] {
	return treeOf(keys, func(i int) (string, struct{}) { return keys[i], struct{}{} })
}

// pods enters the rows, their places on nodes, and what is summed over them.
// Nobody has seen the objects' rows yet, so they are changed in place.
func (b *restorer) pods(rows []*Pod) {
	places := make([]string, len(rows))
	used := map[string]Usage{}
	crowds := crowding{s: &b.s, at: map[string]*Crowd{}, on: map[string]map[string]Headcount{}}
	for i, p := range rows {
		places[i] = onNodeKey(p)
		o, ok := b.s.Get(p.Key)
		if !ok || o.UID != p.UID {
			b.err = fmt.Errorf("%s is on a node, but not among the objects", p.Key)
			return
		}
		o.pod = p.whole()
		if p.Holds(o) {
			used[p.Node] = used[p.Node].Add(p.Claims(o.PodSpec()), 1)
			crowds.add(o, p.Node)
		}
		t := countPod(o, p)
		b.s.ended += t.Failed
		b.s.count(o, t)
	}
	b.s.onNode = keyTree(places)
	for _, node := range slices.Sorted(maps.Keys(used)) {
		b.s.used = b.s.used.with(node, used[node])
	}
	crowds.done()
}

// count adds a pod to the tallies of all its owners, as carry does.
func (s State) count(o *Object, t Tally) {
	for range maxOwners {
		if o.Owner == nil {
			return
		}
		owner, ok := s.Get(o.OwnerKey())
		if !ok || owner.UID != o.Owner.UID {
			return
		}
		x := owner.own()
		x.Tally = x.Tally.plus(t)
		o = owner
	}
}

// countPods is how many pods there are.
func (s State) countPods() (n int) {
	for range s.allPods() {
		n++
	}
	return n
}

// Digest is what tells one event from every other, for whoever keeps a state
// and wants to know later whether a log is the one that it was folded from.
func Digest(e events.Envelope) events.Hash {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\n%s\n%s\n", e.Seq, e.Time.UTC().Format(time.RFC3339Nano), e.Subject)
	for _, h := range e.Headers() {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	b.Write(e.Body)
	return events.HashOf(b.Bytes())
}
