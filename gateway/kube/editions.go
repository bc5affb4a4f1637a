package kube

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/custom"
)

// keptEditions bounds how many shown editions of objects are kept for other
// watches, with all their encodings: some kilobytes each.
const keptEditions = 1024

// editions are the newest editions of objects as watches tell them. A thousand
// watches of one kind show and encode an event once.
type editions struct {
	mu    sync.Mutex
	known map[editionKey]*edition
	order []editionKey // as they came: the oldest goes first
}

// editionKey is one version of what is shown. The position is the row's; one row
// can show several objects.
type editionKey struct {
	events.Key
	at      events.Position
	gone    bool   // as it was last, told at the position of its end
	version string // a definition may serve several
	of      *custom.Definition
}

// get is a version, made by whoever asks for it first; others wait for it. One that
// could not be made is made anew for the next who asks.
func (v *editions) get(k editionKey, show func() (events.Object, error)) (*edition, error) {
	v.mu.Lock()
	one, ok := v.known[k]
	if !ok {
		if v.known == nil {
			v.known = map[editionKey]*edition{}
		}
		one = &edition{}
		v.known[k], v.order = one, append(v.order, k)
		if len(v.order) > keptEditions {
			delete(v.known, v.order[0])
			v.order = v.order[1:]
		}
	}
	v.mu.Unlock()
	one.shown.Do(func() {
		if one.object, one.err = show(); one.err != nil {
			v.forget(k)
		}
	})
	return one, one.err
}

// forget makes room for another try.
func (v *editions) forget(k editionKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.known, k)
	v.order = slices.DeleteFunc(v.order, func(o editionKey) bool { return o == k })
}

// edition is one version of an object, which nobody changes, and what it was
// encoded to. It goes through the handlers in the object's place.
type edition struct {
	shown  sync.Once
	object events.Object
	err    error

	mu      sync.Mutex
	encoded map[runtime.Identifier]*encoding
}

// encoding is a version in one form; its bytes are never changed.
type encoding struct {
	once  sync.Once
	bytes []byte
	err   error
}

var _ runtime.CacheableObject = &edition{}

// GetObjectKind implements runtime.Object.
func (v *edition) GetObjectKind() schema.ObjectKind { return v.object.GetObjectKind() }

// DeepCopyObject implements runtime.Object: the copy is the object alone.
func (v *edition) DeepCopyObject() runtime.Object { return v.object.DeepCopyObject() }

// GetObject implements runtime.CacheableObject.
func (v *edition) GetObject() runtime.Object { return v.object.DeepCopyObject() }

// CacheEncode implements runtime.CacheableObject: whoever comes first encodes.
func (v *edition) CacheEncode(id runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	v.mu.Lock()
	e, ok := v.encoded[id]
	if !ok {
		if v.encoded == nil {
			v.encoded = map[runtime.Identifier]*encoding{}
		}
		e = &encoding{}
		v.encoded[id] = e
	}
	v.mu.Unlock()
	e.once.Do(func() {
		var b bytes.Buffer
		e.err = encode(v.GetObject(), &b) // a copy: encoders may fill in what they need
		e.bytes = b.Bytes()
	})
	if e.err != nil {
		return e.err
	}
	_, err := w.Write(e.bytes)
	return err
}
