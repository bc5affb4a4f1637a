package reconcilers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Edit changes fields of a stored object and leaves all others as they are,
// also those that no type of ours knows. Keys come out sorted: canonical JSON.
func Edit(raw json.RawMessage, edit func(object map[string]any)) json.RawMessage {
	object := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // an int64 must not pass through a float
	if err := d.Decode(&object); err != nil {
		panic(fmt.Sprintf("edit object: %v", err)) // admission wrote it
	}
	edit(object)
	return events.MustBody(object)
}

// Field is the object below a field, made when it is not there.
func Field(object map[string]any, name string) map[string]any {
	if m, ok := object[name].(map[string]any); ok {
		return m
	}
	m := map[string]any{}
	object[name] = m
	return m
}

// Sized is a stored object that wants so many replicas, which it says at a path.
func Sized(raw json.RawMessage, path []string, n int32) json.RawMessage {
	return Edit(raw, func(object map[string]any) {
		last := len(path) - 1
		for _, step := range path[:last] {
			object = Field(object, step)
		}
		object[path[last]] = json.Number(fmt.Sprint(n))
	})
}

// Same is a Changed that changes nothing yet: the whole of a row, to be edited.
func Same(o *projections.Object) events.Changed {
	b := events.Changed{UID: o.UID, Generation: o.Generation, Owner: o.Owner, Object: o.Raw, Applied: o.Applied, Managed: o.Managed, Set: o.Set, Owners: o.Owners}
	if o.Template != nil {
		b.Template = o.Template.Hash
	}
	return b
}

// Adopt drafts that an object has a controller, beside the owners that it has.
func Adopt(o *projections.Object, by *projections.Object) Draft {
	w := events.Owner{Resource: by.Key.Resource, Name: by.Key.Name, UID: by.UID}
	return owned(o, append(o.References(), w.Reference()))
}

// Disown drafts that an object has no more those owners that say so.
func Disown(o *projections.Object, gone func(metav1.OwnerReference) bool) Draft {
	return owned(o, slices.DeleteFunc(o.References(), gone))
}

// owned drafts that an object has these owners. Its spec stays, so does its generation.
func owned(o *projections.Object, refs []metav1.OwnerReference) Draft {
	b := Same(o)
	b.Owner, b.Owners = events.Owned(refs)
	return Change(o, b)
}

// By picks the references to one owner.
func By(uid events.UID) func(metav1.OwnerReference) bool {
	return func(r metav1.OwnerReference) bool { return events.UID(r.UID) == uid }
}

// GraceOf is how long a pod gets to stop, in seconds.
func GraceOf(pod *projections.Object) int64 {
	if s := pod.PodSpec().TerminationGracePeriodSeconds; s != nil {
		return *s
	}
	return 30
}

// Sooner is the earlier of two times to wake at; zero is never.
func Sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
