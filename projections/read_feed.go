package projections

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/stave-run/stave/events"
)

// ReadBeacon reads a beacon as one node needs it: of all the nodes that it speaks of, at most this one is in Nodes. Each
// node hears of sixty others each second, and a table of them costs more to make than all else that an idle node does.
func ReadBeacon(raw []byte, node string) (Beacon, error) {
	var b struct {
		Beacon
		Nodes json.RawMessage `json:"nodes"` // instead of the beacon's
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return Beacon{}, fmt.Errorf("read beacon: %w", err)
	}
	out := b.Beacon
	nodes := bytes.TrimSpace(b.Nodes)
	if len(nodes) > 0 && nodes[0] != '{' {
		return Beacon{}, fmt.Errorf("read beacon: nodes are %q, want an object", nodes)
	}
	// It is JSON, and all its texts are names: one is found where it stands.
	_, after, _ := bytes.Cut(nodes, events.MustBody(node))
	value, found := bytes.CutPrefix(bytes.TrimSpace(after), []byte{':'})
	if !found {
		return out, nil
	}
	if end := bytes.IndexAny(value, ",}"); end >= 0 {
		value = value[:end]
	}
	var at events.Position
	if err := json.Unmarshal(value, &at); err != nil {
		return Beacon{}, fmt.Errorf("read beacon: position of %s: %w", node, err)
	}
	out.Nodes = map[string]events.Position{node: at}
	return out, nil
}

// aRow is what a row of a feed message begins with, and the message itself; other things may begin so too.
var aRow = []byte(`{"position":`)

// roomForRows bounds the rows that room is made for before they are read.
const roomForRows = 64

// ReadFeed reads a message of a node's feed. A row is a kilobyte and a half, and a list that grows as it is read is made several times.
func ReadFeed(raw []byte) (FeedMessage, error) {
	var m FeedMessage
	if n := min(bytes.Count(raw, aRow)-1, roomForRows); n > 0 {
		m.Pods = make([]DesiredPod, 0, n)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return FeedMessage{}, fmt.Errorf("read feed: %w", err)
	}
	return m, nil
}
