package gc

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// to is a reference to an object, blocking its end or not.
func to(o *projections.Object, block bool) metav1.OwnerReference {
	kind, _ := events.KindOf(o.Key.Resource)
	return metav1.OwnerReference{APIVersion: kind.APIVersion(), Kind: kind.Name, Name: o.Key.Name, UID: types.UID(o.UID), BlockOwnerDeletion: &block}
}

// owned makes an object with these owners.
func (k *keeper) owned(r events.Resource, name string, refs ...metav1.OwnerReference) *projections.Object {
	b := events.Created{Object: []byte(`{"metadata":{"name":"` + name + `"},"spec":{"containers":[{"name":"c"}]}}`)}
	b.Owner, b.Owners = events.Owned(refs)
	at := stage.In(r, name)
	if kind, _ := events.KindOf(r); !kind.Namespaced {
		at.Namespace = ""
	}
	k.Do(reconcilers.Create(at, b))
	return k.Get(at)
}

// refer gives an object other owners.
func (k *keeper) refer(o *projections.Object, refs ...metav1.OwnerReference) {
	b := reconcilers.Same(k.Get(o.Key))
	b.Owner, b.Owners = events.Owned(refs)
	k.Do(reconcilers.Change(k.Get(o.Key), b))
}

func (k *keeper) names() string { return strings.Join(k.left(), " ") }

func TestOwnersOfClients(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(k *keeper)
		left string
	}{
		{"what belongs to nobody that is there goes", func(k *keeper) {
			a := k.owned(events.ConfigMaps, "a")
			k.owned(events.ConfigMaps, "b", to(a, false))
			k.Do(reconcilers.Remove(a))
		}, ""},
		{"one that never was is not there", func(k *keeper) {
			k.owned(events.Pods, "p", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "a", UID: "x"})
		}, ""},
		{"one of the same name is another one", func(k *keeper) {
			r := to(k.owned(events.ConfigMaps, "a"), false)
			r.UID = "x"
			k.owned(events.ConfigMaps, "b", r)
		}, "a"},
		{"who has another owner stays", func(k *keeper) {
			a, b := k.owned(events.ConfigMaps, "a"), k.owned(events.ConfigMaps, "b")
			k.owned(events.ConfigMaps, "c", to(a, true), to(b, true))
			k.DeleteWith(a.Key, events.DeletionRequested{Foreground: true})
		}, "b c"},
		{"of a kind that is not there nothing is known", func(k *keeper) {
			k.owned(events.ConfigMaps, "c", metav1.OwnerReference{APIVersion: "x.io/v1", Kind: "Gadget", Name: "g", UID: "x"})
		}, "c"},
		{"what is in no namespace has no owner in one", func(k *keeper) {
			k.owned(events.ClusterRoles, "r", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "a", UID: "x"})
		}, "r"},
		{"but one that is in none", func(k *keeper) {
			a := k.owned(events.ClusterRoles, "a")
			k.owned(events.ConfigMaps, "b", to(a, false))
			k.Do(reconcilers.Remove(a))
		}, ""},
		{"who does not block is not waited for", func(k *keeper) {
			a := k.owned(events.ConfigMaps, "a")
			b := k.owned(events.ConfigMaps, "b", to(a, false))
			k.hold(b, `"x.io/one"`)
			k.DeleteWith(a.Key, events.DeletionRequested{Foreground: true})
		}, "b"},
		{"who blocks is", func(k *keeper) {
			a := k.owned(events.ConfigMaps, "a")
			b := k.owned(events.ConfigMaps, "b", to(a, true))
			k.hold(b, `"x.io/one"`)
			k.DeleteWith(a.Key, events.DeletionRequested{Foreground: true})
		}, "a b"},
		{"until it belongs to it no more", func(k *keeper) {
			a := k.owned(events.ConfigMaps, "a")
			b := k.owned(events.ConfigMaps, "b", to(a, true))
			k.hold(b, `"x.io/one"`)
			k.DeleteWith(a.Key, events.DeletionRequested{Foreground: true})
			k.settle(t)
			k.refer(b)
		}, "b"},
		{"an orphan keeps its other owners", func(k *keeper) {
			a, b := k.owned(events.ConfigMaps, "a"), k.owned(events.ConfigMaps, "b")
			k.owned(events.ConfigMaps, "c", to(a, true), to(b, true))
			k.DeleteWith(a.Key, events.DeletionRequested{Orphan: true})
			k.settle(t)
			if refs := k.Get(stage.In(events.ConfigMaps, "c")).References(); len(refs) != 1 || refs[0].Name != "b" {
				t.Errorf("it belongs to %v", refs)
			}
			k.Do(reconcilers.Remove(b))
		}, ""},
		{"a circle does not hold itself up", func(k *keeper) {
			a, b, c := k.owned(events.Pods, "a"), k.owned(events.Pods, "b"), k.owned(events.Pods, "c")
			k.refer(a, to(c, true))
			k.refer(b, to(a, true))
			k.refer(c, to(b, true))
			k.DeleteWith(a.Key, events.DeletionRequested{Foreground: true})
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper()
			c.do(k)
			k.settle(t)
			if got := k.names(); got != c.left {
				t.Errorf("left %q, want %q", got, c.left)
			}
		})
	}
}

// Whatever owns whatever, and however it goes: who has an owner that is there is
// there, and who has owners and none of them is there is gone.
func TestWhoHasAnOwnerStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKeeper()
		const n = 6
		var all []*projections.Object
		for i := range n {
			r := rapid.SampledFrom([]events.Resource{events.ConfigMaps, events.Pods, events.ReplicaSets}).Draw(t, "kind")
			var refs []metav1.OwnerReference
			for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, n), 0, 2, rapid.ID[int]).Draw(t, "owners") {
				if j < i {
					refs = append(refs, to(all[j], rapid.Bool().Draw(t, "block")))
				}
			}
			all = append(all, k.owned(r, string(rune('a'+i)), refs...))
		}
		gone := map[int]bool{}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, n-1), 1, 3).Draw(t, "deleted") {
			if k.Get(all[i].Key) == nil {
				continue
			}
			gone[i] = true
			k.DeleteWith(all[i].Key, rapid.SampledFrom([]events.DeletionRequested{{}, {Foreground: true}, {Orphan: true}}).Draw(t, "how"))
			if rapid.Bool().Draw(t, "wait") {
				k.settle(t)
			}
		}
		k.settle(t)
		for i, was := range all {
			o := k.Get(was.Key)
			if o == nil {
				continue
			}
			if gone[i] || o.Deletion != nil {
				t.Fatalf("%s is still there: %+v", o.Key, o.Deletion)
			}
			for _, r := range o.References() {
				if s := k.State.Standing(o, r); s != projections.Stands {
					t.Fatalf("%s refers to %s, which stands as %d", o.Key, r.Name, s)
				}
			}
		}
		for i, was := range all {
			if k.Get(was.Key) != nil || gone[i] {
				continue
			}
			for _, r := range was.References() {
				for j, w := range all {
					if w.UID == events.UID(r.UID) && k.Get(w.Key) != nil {
						t.Fatalf("%s is gone, and its owner %s (%d) is there", was.Key, w.Key, j)
					}
				}
			}
		}
	})
}
