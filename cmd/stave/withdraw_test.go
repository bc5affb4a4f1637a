package main

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// serviceTo is a service whose two ports lead to the same addresses.
func serviceTo(name string, ready bool, endpoints ...string) projections.NetService {
	return projections.NetService{Key: events.Key{Resource: events.Services, Namespace: "default", Name: name}, PublishNotReady: !ready,
		Ports: []projections.NetPort{{Endpoints: endpoints}, {Endpoints: endpoints}}}
}

func TestNobodyIsSentToWhoLeaves(t *testing.T) {
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	synctest.Test(t, func(t *testing.T) {
		b := newBehind()
		waited := func(a netip.Addr, until func()) time.Duration {
			t.Helper()
			began := time.Now()
			if until != nil {
				time.AfterFunc(time.Second, until)
			}
			if err := b.nobody(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		b.replaced([]projections.NetService{serviceTo("a", true, "10.0.0.1:80", "10.0.0.2:80"), serviceTo("b", true, "10.0.0.1:80"), serviceTo("c", false, "10.0.0.3:80")})
		if d := waited(netip.MustParseAddr("10.0.0.9"), nil); d != 0 {
			t.Errorf("who was never behind a service waits %s", d)
		}
		if d := waited(netip.MustParseAddr("10.0.0.3"), nil); d != 0 {
			t.Errorf("a service that publishes who is not ready keeps one waiting for %s", d)
		}
		b.written([]projections.NetService{serviceTo("a", true, "10.0.0.2:80")}, nil)
		if d := waited(one, func() { b.written(nil, []events.Key{serviceTo("b", true).Key}) }); d != time.Second+settling {
			t.Errorf("behind b still, it waits %s", d)
		}
		if d := waited(two, func() { b.replaced(nil) }); d != time.Second+settling {
			t.Errorf("until all services were replaced it waits %s", d)
		}
		if d := waited(two, nil); d != 0 {
			t.Errorf("long after, it waits %s", d)
		}
		toBoth := []projections.NetService{serviceTo("d", true, "10.0.0.1:80", "10.0.0.2:80"), serviceTo("e", true, "10.0.0.2:80", "10.0.0.1:80")}
		toTwo := []projections.NetService{serviceTo("d", true, "10.0.0.2:80"), serviceTo("e", true, "10.0.0.2:80")}
		for range 2 { // of the two times that it left the second counts
			b.written(toBoth, nil)
			b.written(toTwo, nil)
			time.Sleep(settling * 3 / 4)
		}
		b.written([]projections.NetService{serviceTo("f", true, "10.0.0.5:80")}, nil)
		b.written(nil, []events.Key{serviceTo("f", true).Key})
		if d := waited(one, nil); d != settling/4 {
			t.Errorf("%s ago it was behind two services, and it waits %s", settling*3/4, d)
		}
		b.written(nil, []events.Key{toTwo[0].Key, toTwo[1].Key})
		if d := waited(two, nil); d != settling {
			t.Errorf("counted on and off by parts, it waits %s", d)
		}
		b.written([]projections.NetService{serviceTo("a", true, "10.0.0.2:80")}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.nobody(ctx, two); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without an end: %v", err)
		}
	})
}
