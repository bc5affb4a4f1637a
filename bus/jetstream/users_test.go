package jetstream

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// TestUsersComeAndGo: a node is let in while the server runs, with a node's
// rights, through a further listener; and is out when it is expelled.
func TestUsersComeAndGo(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds[:1])
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Welcome(l)
	stop, err := s.Wires().Serve("req.*.any", func(context.Context, bus.Request) []byte { return []byte("yes") })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	n1 := DialOptions{URL: "nats://" + l.Addr().String(), Credential: creds[2]}
	if _, err := Dial(t.Context(), n1); !errors.Is(err, bus.ErrUnauthorized) {
		t.Fatalf("a stranger: %v", err)
	}
	if err := s.Admit(creds[2]); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), n1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := c.Request(short(t), "req.node-n1.any", make([]byte, 3<<20)); err != nil || string(b) != "yes" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := c.Request(short(t), "req.admin.any", nil); !errors.Is(err, bus.ErrUnauthorized) {
		t.Errorf("a node as a person: %v", err)
	}
	if err := appendTo(short(t), c, events.SeenSubject("n1")); err != nil {
		t.Errorf("a node says what it saw: %v", err)
	}
	if err := s.Expel(creds[2].User); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); c.nats.IsConnected(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("an expelled one is still connected")
		}
	}
	if _, err := Dial(t.Context(), n1); !errors.Is(err, bus.ErrUnauthorized) {
		t.Errorf("an expelled one: %v", err)
	}
	if s.Expel(controlUser) == nil || s.Admit(Credential{User: controlUser, Password: "x"}) == nil {
		t.Error("the server's own user can be touched")
	}
}

// TestANewPasswordEndsTheOld: whoever connected with the old one is sent away.
func TestANewPasswordEndsTheOld(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	c := dialTest(t, s, creds[1])
	renewed := creds[1]
	renewed.Password = "another"
	if err := s.Admit(renewed); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); c.nats.IsConnected(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the old password still holds")
		}
	}
	if _, err := Dial(t.Context(), DialOptions{URL: s.Address(), Credential: creds[1]}); !errors.Is(err, bus.ErrUnauthorized) {
		t.Error(err)
	}
	again := dialTest(t, s, renewed)
	again.Close()
}
