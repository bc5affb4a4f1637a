package jetstream

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/bustest"
)

func dialTest(t *testing.T, s *Server, cred Credential) *Client {
	t.Helper()
	c, err := Dial(t.Context(), DialOptions{URL: s.Address(), Credential: cred})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestWires(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	bustest.Wires(t, func(t *testing.T) bustest.WiresUnderTest {
		c := dialTest(t, s, creds[0])
		return bustest.WiresUnderTest{Server: s.Wires(), Client: c, User: "admin", Sever: c.Close}
	})
}

// TestNodeServes answers with a node's rights, which are to publish replies only.
func TestNodeServes(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	node, person := dialTest(t, s, creds[2]), dialTest(t, s, creds[0])
	stop, err := node.Serve("req.*.node.n1.facts", func(context.Context, bus.Request) []byte { return make([]byte, 3<<20) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	got, err := person.Request(t.Context(), "req.admin.node.n1.facts", make([]byte, 3<<20))
	if err != nil || len(got) != 3<<20 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	end, err := node.Accept("req.*.node.n1.logs", func(ctx context.Context, _ bus.Request, s bus.Stream) {
		for range 100 {
			if err := s.Send(ctx, bus.Frame{Data: make([]byte, 10_000)}); err != nil {
				t.Errorf("node: %v", err)
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	stream, err := person.Dial(t.Context(), "req.admin.node.n1.logs", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		f, err := stream.Recv(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(f.Data)
	}
	if n != 1_000_000 {
		t.Errorf("%d bytes of a stream of 1000000", n)
	}
}
