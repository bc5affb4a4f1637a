package kube

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
)

// maxMessage is how many bytes a message of a client may have.
const maxMessage = 1 << 20

// The oldest protocols, which a client that names none speaks too: the end of the stream is told in words, and only when it
// failed. In base64 each message is text: the channel's digit, and its data in base64.
const (
	oldest       = "channel.k8s.io"
	inText       = "v4.base64.channel.k8s.io"
	oldestInText = "base64.channel.k8s.io"
)

// upgrader takes the protocols that Kubernetes takes, the newest first.
var upgrader = websocket.Upgrader{CheckOrigin: fromHere, Subprotocols: []string{remotecommand.StreamProtocolV5Name, remotecommand.StreamProtocolV4Name, inText, oldest, oldestInText}}

// fromHere lets WebSockets in that a page of this server opens, or a program of this machine: a library that wants an origin
// says http://localhost. Kubernetes lets every page in, which a browser with a client certificate would pay for.
func fromHere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Host, r.Host) || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func isWebSocket(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// serveWebSocket carries a container's streams over a WebSocket. The channels of
// Kubernetes' protocol and of our wires have the same numbers and meanings; only
// the end of the input is said in another way. wanted are the channels that the
// client hears.
func serveWebSocket(w http.ResponseWriter, r *http.Request, stream bus.Stream, wanted map[byte]bool) error {
	if p := websocket.Subprotocols(r); len(p) > 0 && !speaks(p) {
		http.Error(w, "unable to upgrade: none of the protocols "+strings.Join(p, ", ")+" is spoken here", http.StatusForbidden)
		return nil
	}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil //nolint:nilerr // the upgrader has answered
	}
	defer ws.Close()
	ws.SetReadLimit(maxMessage)
	to := talk{ws}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		defer cancel() // a client that is gone needs no output
		receive(ctx, to, stream)
	}()
	for {
		f, err := stream.Recv(ctx)
		if err != nil {
			return nil //nolint:nilerr // the connection is cut, which is how the client knows
		}
		if !wanted[f.Channel] {
			continue
		}
		if err := to.say(f.Channel, f.Data); err != nil {
			return nil //nolint:nilerr // the client is gone
		}
		if f.Channel == wire.Failed {
			_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")) // it may be gone
			return nil
		}
	}
}

func speaks(wanted []string) bool {
	for _, p := range wanted {
		for _, ours := range upgrader.Subprotocols {
			if p == ours {
				return true
			}
		}
	}
	return false
}

// talk is a WebSocket in the protocol that was agreed on.
type talk struct{ *websocket.Conn }

// say sends a message on a channel.
func (t talk) say(channel byte, data []byte) error {
	p := t.Subprotocol()
	if channel == wire.Failed && (p == oldest || p == oldestInText || p == "") {
		err := ended(data)
		if err == nil {
			return nil
		}
		data = []byte(err.Error())
	}
	if p == inText || p == oldestInText {
		return t.WriteMessage(websocket.TextMessage, base64.StdEncoding.AppendEncode([]byte{'0' + channel}, data))
	}
	return t.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...))
}

// hear waits for a message.
func (t talk) hear() ([]byte, error) {
	_, m, err := t.ReadMessage()
	if p := t.Subprotocol(); err != nil || len(m) == 0 || p != inText && p != oldestInText {
		return m, err
	}
	return base64.StdEncoding.AppendDecode([]byte{m[0] - '0'}, m[1:])
}

// receive carries what the client sends, until it is gone.
func receive(ctx context.Context, from talk, stream bus.Stream) {
	for {
		m, err := from.hear()
		if err != nil {
			return
		}
		if len(m) == 0 {
			continue
		}
		f := bus.Frame{Channel: m[0], Data: m[1:]}
		switch {
		case m[0] == remotecommand.StreamClose && len(m) == 2 && m[1] == wire.Stdin:
			f = bus.Frame{Channel: wire.StdinClosed}
		case m[0] == wire.Stdin && len(m) > 1, m[0] == wire.Resize:
		default:
			continue
		}
		if stream.Send(ctx, f) != nil {
			return
		}
	}
}
