package account

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

func namespace(name string) events.Key { return events.Key{Resource: events.Namespaces, Name: name} }

// settle lets the reconciler work until nothing follows.
func settle(t *testing.T, w *stage.World, names ...string) {
	t.Helper()
	for _, name := range names {
		for range 3 {
			if _, err := w.Run(Reconciler{}, namespace(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func root(w *stage.World, text string) {
	w.Apply(projections.RootKey, `{"metadata":{"name":"kube-root-ca.crt"},"data":{"ca.crt":"`+text+`"}}`)
}

func TestEachNamespaceGetsItsAccountAndTheCertificate(t *testing.T) {
	w := stage.New()
	for _, n := range []string{"shop", "kube-system"} {
		w.Apply(namespace(n), `{"metadata":{"name":"`+n+`"}}`)
	}
	account := events.Key{Resource: events.Accounts, Namespace: "shop", Name: "default"}
	copied := events.Key{Resource: events.ConfigMaps, Namespace: "shop", Name: "kube-root-ca.crt"}
	settle(t, w, "shop", "kube-system")
	if w.Get(account) == nil || w.Get(copied) != nil {
		t.Fatalf("without an API: account %v, certificate %v", w.Get(account), w.Get(copied))
	}
	root(w, "one")
	settle(t, w, "shop", "kube-system")
	if o := w.Get(copied); o == nil || !strings.Contains(string(o.Raw), `"ca.crt":"one"`) {
		t.Fatalf("the copy is %v", o)
	}
	seq := w.State.Seq
	settle(t, w, "shop", "kube-system")
	if w.State.Seq != seq {
		t.Errorf("it does not come to rest")
	}
	root(w, "two")
	settle(t, w, "shop")
	if o := w.Get(copied); !strings.Contains(string(o.Raw), `"ca.crt":"two"`) {
		t.Errorf("the copy stays %s", o.Raw)
	}
	w.Delete(account)
	w.Delete(namespace("shop"))
	if d := (Reconciler{}).Decide(w.State, namespace("shop"), w.Now); len(d.Events) > 0 {
		t.Errorf("a namespace that goes gets %v", d.Events)
	}
}

// What is taken away comes again, and only that wakes a namespace.
func TestKeys(t *testing.T) {
	w := stage.New()
	w.Apply(namespace("a"), `{"metadata":{"name":"a"}}`)
	w.Apply(namespace("b"), `{"metadata":{"name":"b"}}`)
	root(w, "one")
	row := w.Get(projections.RootKey)
	for _, c := range []struct {
		change projections.Change
		want   string
	}{
		{projections.Change{Key: namespace("a"), After: w.Get(namespace("a"))}, "a"},
		{projections.Change{Key: namespace("a"), Before: w.Get(namespace("a")), After: w.Get(namespace("a"))}, ""},
		{projections.Change{Key: projections.RootKey, After: row}, "a b"},
		{projections.Change{Key: events.Key{Resource: events.Accounts, Namespace: "b", Name: "default"}, Before: row}, "b"},
		{projections.Change{Key: events.Key{Resource: events.Accounts, Namespace: "b", Name: "robot"}, Before: row}, ""},
		{projections.Change{Key: events.Key{Resource: events.ConfigMaps, Namespace: "b", Name: "kube-root-ca.crt"}, Before: row}, "b"},
		{projections.Change{Key: events.Key{Resource: events.ConfigMaps, Namespace: "b", Name: "other"}, Before: row}, ""},
	} {
		var got []string
		for _, k := range (Reconciler{}).Keys(w.State, c.change) {
			got = append(got, k.Name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s wakes %q, want %q", c.change.Key, s, c.want)
		}
	}
}
