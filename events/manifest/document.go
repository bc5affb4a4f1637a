package manifest

import (
	"encoding/json"
	"fmt"

	"github.com/stave-run/stave/events"
)

// Doc is one object of a file.
type Doc struct {
	Object events.Object // as written: nothing is defaulted
	Kind   events.Kind

	file    string
	written *node
}

// DocOf is the document that somebody would have written for an object: for
// commands that make objects of their arguments. The object's kind has to be
// one of events.Kinds.
func DocOf(o events.Object) Doc {
	d := Doc{Object: o}
	if k, ok := kindOfType(o); ok {
		d.Kind = k
		o.GetObjectKind().SetGroupVersionKind(k.GVK())
	}
	raw, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", o, err)) // Kubernetes' types always encode
	}
	var p problems
	if nodes := readJSON(&p, raw); len(nodes) == 1 {
		d.written = nodes[0]
	}
	return d
}

// JSON is the object as it was written, with the namespace that Object has by
// now and without what nobody writes: the empty creation time that Go programs
// print, and the status of a kind of ours. A definition may let people write one.
func (d Doc) JSON() json.RawMessage { return d.shown().json(nil) }

// Whole is JSON with the status, for those who write that.
func (d Doc) Whole() json.RawMessage {
	top := d.shown()
	for _, e := range d.written.fields {
		if e.key == "status" && !d.Kind.Custom() {
			top.fields = append(top.fields, e)
		}
	}
	return top.json(nil)
}

// shown is what JSON says.
func (d Doc) shown() *node {
	top := &node{kind: mapping}
	for _, e := range d.written.fields {
		switch {
		case e.key == "status" && !d.Kind.Custom() || e.value.kind == null && e.key == "metadata":
		case e.key == "metadata":
			top.fields = append(top.fields, entry{key: e.key, value: d.metadata(e.value)})
		default:
			top.fields = append(top.fields, e)
		}
	}
	return top
}

func (d Doc) metadata(written *node) *node {
	out := &node{kind: mapping}
	for _, e := range written.fields {
		if e.key != "namespace" && (e.key != "creationTimestamp" || e.value.kind != null) {
			out.fields = append(out.fields, e)
		}
	}
	if ns := d.Object.GetNamespace(); ns != "" {
		out.fields = append(out.fields, entry{key: "namespace", value: &node{kind: text, text: ns}})
	}
	return out
}

// Position is where a field was written, or the deepest part of its path that
// was; the empty path is the document's start. Both count from 1.
func (d Doc) Position(field string) (line, column int) {
	at := d.written.locate(field)
	return at.line, at.column
}

// Where is Position as "file:line:column", or "kind/name" for a document that
// no file holds.
func (d Doc) Where(field string) string {
	if d.file == "" {
		return d.Kind.Printed() + "/" + d.Object.GetName()
	}
	line, column := d.Position(field)
	return fmt.Sprintf("%s:%d:%d", d.file, line, column)
}
