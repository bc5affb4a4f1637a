package events

import (
	"bytes"
	"slices"
)

// About are the objects that an event speaks of: the one that its subject names,
// the controller of one that it makes, the pods of an assignment or a flush, and
// their node.
func About(e Envelope) []Key {
	switch e.Subject.Class() {
	case "spec", "status", "verdict":
		k, err := e.Subject.Key()
		if err != nil {
			return nil
		}
		if e.Type.Verb() == VerbCreated && bytes.Contains(e.Body, []byte(`"owner"`)) {
			if b, err := Decode[Created](e); err == nil && b.Owner != nil {
				return []Key{k, b.Owner.Key(k)}
			}
		}
		return []Key{k}
	case "assign", "seen":
		node, err := e.Subject.Tail()
		if err != nil {
			return nil
		}
		return append([]Key{{Resource: Nodes, Name: node}}, PodsIn(e)...)
	}
	return nil
}

// PodsIn are the pods that an assignment or a flush speaks of.
func PodsIn(e Envelope) []Key {
	var out []Key
	switch e.Subject.Class() {
	case "assign":
		a, _ := Decode[Assigned](e)
		for _, r := range slices.Concat(a.Pods, a.Withdrawn) {
			out = append(out, r.Key)
		}
	case "seen":
		b, _ := Decode[Seen](e)
		for _, p := range b.Pods {
			out = append(out, Key{Resource: Pods, Namespace: p.Namespace, Name: p.Name})
		}
	}
	return out
}
