// Package admit turns a request and a view into events or a refusal: strict
// decoding, defaults, validation, the three-way merge, and everything that is
// given out once (uids, names, cluster IPs, node ports, pod CIDRs). It is pure,
// so a dry run is the same call whose drafts are not appended.
//
// It is asked on the one writer's ahead view. What it finds free there is free.
//
// Deletions: an object that others depend on or wait for gets a
// DeletionRequested (Pods on a node, ReplicaSets, Deployments, Namespaces, and
// whatever has finalizers), and reconcilers/gc or reconcilers/namespace carry it
// out. What nobody waits for is Removed at once: ConfigMaps, Services, Nodes, pods
// that no node has, and pods whose deletion is forced; also, by the write that
// takes it off, what only its last finalizer kept.
package admit

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// MaxObject is the largest object that is admitted, in bytes of its canonical
// form: twice what Kubernetes' own store takes.
const MaxObject = 3 << 20

// Request is one item of a change.
type Request struct {
	wire.ChangeRequest // all but Items and ID
	Item               wire.Item
	// Managed is metadata.managedFields as it shall be, from a door that keeps
	// it; nil leaves what is there.
	Managed json.RawMessage
	// Op is the operation id that the request's first draft will get. Uids and
	// generated names follow from it, and a retry of a wish that landed is known
	// by it.
	Op events.OpID
	// Part is the subresource that a Replace writes, which may change what no other write does; empty for the object itself.
	Part string
	// Reviewed is what webhooks and policies said of the request; nil: nobody was asked.
	Reviewed *Reviewed
	// Held are node ports that something outside of the cluster has on this
	// machine, and what; nil where nobody knows.
	Held map[Port]string
	// Labels and Annotations are laid over those of a pod that is bound.
	Labels, Annotations map[string]string
	// Asker is who makes the request, as a certificate would be asked for by them.
	Asker Asker
	// Rules are what definitions say of their objects; nil: nobody can write either.
	Rules Rules
	// Shaped says that the door has held the object to its schema already: what webhooks added beyond that goes, and is nobody's mistake.
	Shaped bool
}

// Outcome is what follows from a request. Drafts is empty when nothing changes
// or the request is refused.
type Outcome struct {
	Drafts []reconcilers.Draft
	// Moved says that the object is another one than webhooks and policies were
	// shown: ask them again. Nothing else of the outcome counts then.
	Moved bool
	// Result has everything but the sequence of an event that is yet to be
	// appended and the object as it will be.
	Result wire.Result
}

// The words of a result.
const (
	Created    = "created"
	Configured = "configured"
	Unchanged  = "unchanged"
	Replaced   = "replaced"
	Deleted    = "deleted"
	Scaled     = "scaled"
	Bound      = "bound"
)

// The parts of an object that are written apart.
const (
	PartFinalize  = "finalize"            // the finalizers of a namespace's spec
	PartEphemeral = "ephemeralcontainers" // containers that look into a pod
	PartResize    = "resize"              // what a pod's containers ask for and may take
)

// KeyOf is the object that an item is about, as far as it can be read: the name
// is empty when it will be generated. It is part of the operation ids.
func KeyOf(v projections.State, item wire.Item) events.Key {
	if len(item.Object) == 0 {
		return item.Key
	}
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        struct{ Namespace, Name string } `json:"metadata"`
	}
	if json.Unmarshal(item.Object, &head) != nil {
		return events.Key{}
	}
	kind, ok := v.Kinds().For(head.APIVersion, head.Kind)
	if !ok {
		return events.Key{}
	}
	return place(kind, head.Metadata.Namespace, head.Metadata.Name)
}

// place is a key with the namespace that its kind wants.
func place(kind events.Kind, namespace, name string) events.Key {
	switch {
	case !kind.Namespaced:
		namespace = ""
	case namespace == "":
		namespace = metav1.NamespaceDefault
	}
	return events.Key{Resource: kind.Resource, Namespace: namespace, Name: name}
}

// Admit decides one item of a change.
func Admit(v projections.State, r Request, now time.Time) Outcome {
	if out, done := landed(v, r); done {
		return out
	}
	if out, done := answered(v, r); done {
		return out
	}
	var out Outcome
	var err *refusal
	switch r.Operation {
	case wire.Apply, wire.Create, wire.Replace:
		out, err = write(v, r, now)
	case wire.Status:
		out, err = writeStatus(v, r, now)
	case wire.Evict:
		out, err = evict(v, r, now)
	case wire.Delete:
		out, err = remove(v, r, now)
	case wire.Scale:
		out, err = scale(v, r)
	case wire.Bind:
		out, err = bind(v, r)
	default:
		err = badRequest("unknown operation %q", r.Operation)
	}
	if err == nil {
		err = rationed(v, r, out, now)
	}
	if err != nil {
		err.kind, _ = v.KindOf(err.key.Resource) // a definition may have made it
		if out.Result.Key.IsZero() {
			out.Result.Key = KeyOf(v, r.Item)
		}
		out.Drafts, out.Result.Outcome, out.Result.Error = nil, "", err.status()
	}
	if r.Reviewed != nil {
		out.Result.Warnings = append(out.Result.Warnings, r.Reviewed.Warnings...)
	}
	return out
}

// landed answers a retry of a wish whose first event is in the log already.
func landed(v projections.State, r Request) (Outcome, bool) {
	if r.Op == "" {
		return Outcome{}, false
	}
	seq, ok := v.Landed(r.Op)
	if !ok {
		return Outcome{}, false
	}
	words := map[wire.Operation]string{wire.Apply: Configured, wire.Create: Created, wire.Replace: Replaced, wire.Status: Replaced, wire.Delete: Deleted, wire.Evict: Deleted, wire.Scale: Scaled, wire.Bind: Bound}
	out := Outcome{Result: wire.Result{Key: KeyOf(v, r.Item), Outcome: words[r.Operation], Seq: seq}}
	if out.Result.Key.Name == "" {
		out.Result.Key.Name = generated(prefixOf(v.Kinds(), r.Item), r.Op)
	}
	if o, ok := v.Get(out.Result.Key); ok {
		out.Result.UID = o.UID
		if o.Created.Seq == seq {
			out.Result.Outcome = Created
		}
	}
	return out, true
}

// generated is a name made of a prefix. It follows from the operation, so that a
// retry makes the same one.
func generated(prefix string, op events.OpID) string {
	const most = 63 - 5 // Kubernetes cuts so that names stay labels
	if len(prefix) > most {
		prefix = prefix[:most]
	}
	return prefix + events.ChildSuffix(events.NewUID(op), 0)
}

func prefixOf(kinds events.Catalogue, item wire.Item) string {
	if docs, _ := manifest.DecodeOf(kinds, "", item.Object); len(docs) == 1 {
		return docs[0].Object.GetGenerateName()
	}
	return ""
}
