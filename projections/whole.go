package projections

import (
	"encoding/json"
	"fmt"

	"github.com/stave-run/stave/events"
)

// Whole is the body of a spec event as JSON, the template that it refers to
// filled in, without the status that a type of ours brings along. It reads events of
// any age: templates outlive the objects that use them.
func Whole(s State, k events.Key, h events.Hash, raw json.RawMessage) (json.RawMessage, error) {
	o := &Object{Key: k, Raw: raw, Extras: noExtras}
	if h != "" {
		t, ok := s.Template(h)
		if !ok {
			return nil, fmt.Errorf("read %s: template %s is not in the log", k, h)
		}
		o.Template = t
	}
	v, err := o.decode()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", k, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, fmt.Errorf("read %s: %w", k, err)
	}
	if _, ours := events.KindOf(k.Resource); ours {
		delete(fields, "status")
	}
	return events.MustBody(fields), nil
}
