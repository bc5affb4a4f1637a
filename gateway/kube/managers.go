package kube

import (
	"bytes"
	"encoding/json"
	"hash/maphash"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/utils/lru"

	"github.com/stave-run/stave/events"
)

// keptManagers bounds what is kept read of managers. What a client makes within a
// second has the same ones.
const keptManagers = 4096

// managers reads metadata.managedFields as the log has them, each that is alike once:
// of the cost of a list this would be a third.
type managers struct {
	kept *lru.Cache // *managed by the hash of its text
	told *lru.Cache // []metav1.ManagedFieldsEntry by writtenAs: of what no client wrote
	seed maphash.Seed
}

// writtenAs is an object as somebody wrote it, in one version of its kind: who manages it follows from that.
type writtenAs struct {
	uid     events.UID
	changed events.Seq
	by      *managedfields.FieldManager // another one when a definition changes
}

type managed struct {
	raw     json.RawMessage
	entries []metav1.ManagedFieldsEntry
}

func newManagers() *managers {
	return &managers{lru.New(keptManagers), lru.New(keptManagers), maphash.MakeSeed()}
}

// of is what a row's text says. It is shared: never change it.
func (m *managers) of(raw json.RawMessage) []metav1.ManagedFieldsEntry {
	hash := maphash.Bytes(m.seed, raw)
	if found, ok := m.kept.Get(hash); ok {
		if k, ok := found.(*managed); ok && bytes.Equal(k.raw, raw) {
			return k.entries
		}
	}
	k := &managed{raw: raw}
	if json.Unmarshal(raw, &k.entries) != nil {
		return nil // this door wrote it, so it can be read
	}
	m.kept.Add(hash, k)
	return k.entries
}

// owned is a copy of managers that may be changed.
func owned(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	if entries == nil {
		return nil
	}
	out := make([]metav1.ManagedFieldsEntry, len(entries))
	for i := range entries {
		entries[i].DeepCopyInto(&out[i])
	}
	return out
}
