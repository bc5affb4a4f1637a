package projections_test

import (
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
)

// Of several defaults the youngest counts, by the second as clients see it, and then the first by name.
func TestTheYoungestDefaultCounts(t *testing.T) {
	const ingress, storage = "ingressclass.kubernetes.io/is-default-class", "storageclass.kubernetes.io/is-default-class"
	for _, c := range []struct {
		names []string
		pause time.Duration
		want  string
	}{
		{[]string{"a", "b"}, 0, "a"}, {[]string{"b", "a"}, 0, "a"}, {[]string{"a", "b"}, 2 * time.Second, "b"}, {[]string{"b", "a"}, 2 * time.Second, "a"},
	} {
		l := foldtest.New()
		l.Lease("tests")
		for _, name := range c.names {
			l.Pass(c.pause)
			l.Create(foldtest.Key(events.IngressClasses, name), `{"metadata":{"annotations":{"`+ingress+`":"true"}},"spec":{"controller":"a/b"}}`)
			l.Create(foldtest.Key(events.StorageClasses, name), `{"metadata":{"annotations":{"`+storage+`":"true"}},"provisioner":"p"}`)
		}
		if got, ok := l.State.DefaultIngressClass(); !ok || got != c.want {
			t.Errorf("%v after %s: the ingress class %s", c.names, c.pause, got)
		}
		if got, ok := l.State.DefaultStorageClass(); !ok || got != c.want {
			t.Errorf("%v after %s: the storage class %s", c.names, c.pause, got)
		}
	}
}
