package events

import (
	"encoding/json"
	"fmt"
)

// Version is the schema version that bodies are written in, and the newest that
// can be read. Events are for ever: a body that changes shape raises it, gets a
// step in Upcast and a frozen sample in testdata.
const Version = 1

// NewerError says that an event was written by a newer program than this one.
type NewerError struct {
	Type    Type
	Version int
}

// Error implements error.
func (e *NewerError) Error() string {
	return fmt.Sprintf("read %s: version %d, this program knows up to %d", e.Type, e.Version, Version)
}

// Upcast gives a body the shape of Version, whatever version it was written in.
// It fails with *NewerError when this program is older than the event.
// Version 0 is an envelope without the header, which says 1.
func Upcast(t Type, version int, body json.RawMessage) (json.RawMessage, error) {
	if version > Version || version < 0 {
		return nil, &NewerError{t, version}
	}
	return body, nil
}
