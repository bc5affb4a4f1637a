package reach

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

var errDialled = errors.New("dialled")

// A pod is reached by its name, and by nothing that looks like it: 10.1.2 may be the name of a pod in the namespace 3, and
// "example" that of one in "com", and neither is to get the connections that are for an address or a name outside.
func TestPodsAreNoAddresses(t *testing.T) {
	w := stage.New()
	for _, k := range []events.Key{{Namespace: "3", Name: "10.1.2"}, {Namespace: "com", Name: "example"}, {Namespace: "a", Name: "x.y"}} {
		k.Resource = events.Pods
		w.Apply(k, `{"metadata":{"name":"`+k.Name+`","namespace":"`+k.Namespace+`"},"spec":{"containers":[{"name":"a","image":"b"}]}}`)
	}
	var dialled []events.Key
	ways := Ways{View: func() projections.State { return w.State }, Dial: func(_ context.Context, k events.Key, _ uint16) (net.Conn, error) {
		dialled = append(dialled, k)
		return nil, errDialled
	}}
	ended, end := context.WithCancel(t.Context())
	end() // nobody is dialled outside
	for _, address := range []string{"10.1.2.3:443", "example.com:443", "x.y.a:1"} {
		for _, connect := range []func(context.Context, string, string) (net.Conn, error){ways.Connect, ways.ConnectOutside} {
			if _, err := connect(ended, "tcp", address); err == nil || len(dialled) > 0 {
				t.Errorf("%s led to %v (%v)", address, dialled, err)
			}
		}
	}
	if _, err := ways.Connect(t.Context(), "tcp", Pod("a", "x.y", 80)); !errors.Is(err, errDialled) || len(dialled) != 1 || dialled[0] != (events.Key{Resource: events.Pods, Namespace: "a", Name: "x.y"}) {
		t.Errorf("a pod by its name: %v, %v", dialled, err)
	}
	if _, err := ways.Connect(t.Context(), "tcp", "._pod:80"); err == nil || len(dialled) != 1 {
		t.Errorf("no pod's name: %v, %v", dialled, err)
	}
}
