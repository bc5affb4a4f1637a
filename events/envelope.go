package events

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Type says what happened, in the past tense and led by the resource:
// "pods.created", "deployments.apps.changed", "pods.assigned".
type Type string

// The verbs of log.spec, log.status and log.verdict; TypeOf joins them to a resource.
const (
	VerbCreated           = "created"
	VerbChanged           = "changed"
	VerbDeletionRequested = "deletion-requested"
	VerbRemoved           = "removed"
	VerbStatus            = "status-reported"
	VerbStatusWritten     = "status-written"
	VerbVerdict           = "verdict-changed"
	VerbResized           = "resized"
)

// The types that belong to no single resource.
const (
	LeaseTaken     Type = "lease.taken"
	HistoryCut     Type = "history.cut"
	TemplateStored Type = "templates.stored"
	PodsAssigned   Type = "pods.assigned"
	PodsSeen       Type = "pods.seen"
	PodsResized    Type = "pods." + VerbResized
)

// TypeOf joins a resource and a verb.
func TypeOf(r Resource, verb string) Type { return Type(string(r) + "." + verb) }

// Resource is what leads a type, for those that TypeOf made.
func (t Type) Resource() Resource {
	return Resource(strings.TrimSuffix(string(t), "."+t.Verb()))
}

// Verb is the last word of a type.
func (t Type) Verb() string { return string(t)[strings.LastIndexByte(string(t), '.')+1:] }

// Envelope is one event with everything that is known about it. Body stays
// undecoded until somebody looks.
type Envelope struct {
	Subject    Subject
	Seq        Seq       // given by the log; 0 before it is appended
	Time       time.Time // the log's timestamp, never running back; zero before it is appended
	Type       Type
	Version    int       // schema version of the body, from 1
	Actor      Actor     // who asked
	Cause      Seq       // the event that led to this one; 0 for a person's request
	Basis      Seq       // what the decision had seen
	Epoch      Seq       // sequence of the lease under which it was appended; 0 for a node's facts
	Now        time.Time // the decision's now; zero when it used none
	Op         OpID
	Change     ChangeID // the wish that this event is a part of; empty for what no person asked for
	Reconciler string   // name and version of who decided: "deployment/1"; empty for people and nodes
	Message    string   // what the person said about it, or the command line
	Body       json.RawMessage
}

// Wished tells whether an event is what a person asked for, rather than what
// followed from it.
func (e Envelope) Wished() bool {
	return e.Subject.Class() == "spec" && strings.HasPrefix(string(e.Actor), string(User("")))
}

// Decode reads the body of e into a T, whatever version it was written in.
func Decode[T any](e Envelope) (T, error) {
	var v T
	body, err := Upcast(e.Type, e.Version, e.Body)
	if err != nil {
		return v, err
	}
	if p, ok := any(&v).(plainly); ok && readPlainly(body, p) {
		return v, nil
	}
	var w T
	if err := json.Unmarshal(body, &w); err != nil {
		return w, fmt.Errorf("decode %s at %d: %w", e.Type, e.Seq, err)
	}
	return w, nil
}

// MustBody encodes a body made of our own types, which cannot fail.
func MustBody(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}
