package kube_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
)

// ports answers connections to the ports 80 and 81 of a pod: whoever connects gets what they say in capitals. What comes
// out of gone is the port of a connection that the other side ended.
func (h *house) ports() (gone chan uint16) {
	gone = make(chan uint16, 10)
	h.agent(wire.NodeForward, func(ctx context.Context, r bus.Request, s bus.Stream) {
		defer s.Close()
		var req wire.ForwardRequest
		if err := json.Unmarshal(r.Body, &req); err != nil {
			h.Error(err)
		}
		if req.Port != 80 && req.Port != 81 {
			_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: []byte(`{"status":"Failure","message":"connection refused"}`)})
			return
		}
		for {
			f, err := s.Recv(ctx)
			if err != nil {
				gone <- req.Port
				return
			}
			if f.Channel == wire.Stdin {
				_ = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: []byte(strings.ToUpper(string(f.Data)))})
			}
		}
	})
	return gone
}

// hears wants a message on a channel.
func hears(t *testing.T, ws *websocket.Conn, channel byte, want string) {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, m, err := ws.ReadMessage()
	if err != nil || len(m) == 0 || m[0] != channel || !strings.Contains(string(m[1:]), want) {
		t.Fatalf("heard %q, %v; want %q on channel %d", m, err, want, channel)
	}
}

// Libraries of Python and JavaScript forward ports over a WebSocket with two channels for each port: what is said, and what
// went wrong. Both begin with the port.
func TestPortsOverWebSockets(t *testing.T) {
	h := open(t)
	h.podOn("a")
	gone := h.ports()
	const path = "/api/v1/namespaces/default/pods/a/portforward"
	ws, err := h.socket(path+"?ports=80&ports=81,99", "v4.channel.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	for i, port := range []uint16{80, 81, 99} {
		number := string(binary.LittleEndian.AppendUint16(nil, port))
		hears(t, ws, byte(2*i), number)
		hears(t, ws, byte(2*i+1), number)
	}
	hears(t, ws, 5, "connection refused")
	for channel, say := range map[byte]string{0: "eighty", 2: "other"} {
		if err := ws.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, say...)); err != nil {
			t.Fatal(err)
		}
		hears(t, ws, channel, strings.ToUpper(say))
	}

	// A client that goes ends its connections, also those in which nobody speaks.
	ws.Close()
	for range 2 {
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Fatal("a connection outlives its client")
		}
	}

	for _, query := range []string{"", "?ports=", "?ports=no", "?ports=0", "?ports=70000"} {
		if ws, err := h.socket(path+query, "v4.channel.k8s.io"); err == nil {
			ws.Close()
			t.Errorf("%q opens a WebSocket", query)
		}
	}
	if ws, err := h.socketFrom(path+"?ports=80", "v4.channel.k8s.io", http.Header{"Origin": {"http://evil.example"}}); err == nil {
		ws.Close()
		t.Error("a page from elsewhere is let in")
	}
}
