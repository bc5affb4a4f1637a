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
