package follow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/why"
)

// Beside the checkpoint that a cut log begins with lies who had set each field
// of its objects by then.
const (
	originsKind    = "origins"
	originsEnd     = ".origins"
	originsVersion = 1
)

// originsHead is what the head of such a file says.
type originsHead struct {
	At    events.Seq `json:"at"`
	Count int        `json:"count"`
}

func (c *Checkpoints) originsPath(at events.Seq) string {
	return filepath.Join(c.dir, fmt.Sprintf("%020d%s", uint64(at), originsEnd))
}

// saveOrigins keeps those of the horizon at a sequence.
func (c *Checkpoints) saveOrigins(at events.Seq, all iter.Seq[why.Origin]) error {
	var body bytes.Buffer
	z, err := zstd.NewWriter(&body, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("save origins: %w", err)
	}
	head, rows := originsHead{At: at}, json.NewEncoder(z)
	for o := range all {
		if err == nil {
			err = rows.Encode(o)
		}
		head.Count++
	}
	if err = errors.Join(err, z.Close()); err == nil {
		err = sealed.Write(c.originsPath(at), originsKind, originsVersion, head, body.Bytes())
	}
	if err != nil {
		return fmt.Errorf("save origins: %w", err)
	}
	return nil
}

// Origins are those of the log that begins at a sequence, verified; none for a
// log that was never cut.
func (c *Checkpoints) Origins(first events.Seq) (iter.Seq[why.Origin], error) {
	none := func(func(why.Origin) bool) {}
	if first <= 1 {
		return none, nil
	}
	path := c.originsPath(first)
	f, err := sealed.Read(path, originsKind)
	if err != nil {
		return none, err
	}
	if f.Version != originsVersion {
		return none, &sealed.VersionError{Path: path, Version: f.Version, Knows: originsVersion}
	}
	z, err := zstd.NewReader(bytes.NewReader(f.Body), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return none, fmt.Errorf("read origins: %w", err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		return none, &sealed.DamageError{Path: path, Why: err.Error()}
	}
	return func(yield func(why.Origin) bool) {
		for row := range bytes.Lines(plain) {
			o := why.Origin{}
			if json.Unmarshal(row, &o) != nil {
				return // its checksum held: it was written so, which never happens
			}
			if o.At = first; !yield(o) {
				return
			}
		}
	}, nil
}

// Origin is what is kept of one object of the log that begins at a sequence; nil
// when it was not there then.
func (c *Checkpoints) Origin(first events.Seq, k events.Key) (*why.Origin, error) {
	all, err := c.Origins(first)
	if err != nil {
		return nil, err
	}
	for o := range all {
		if o.Key == k {
			return &o, nil
		}
	}
	return nil, nil
}

// CheckOrigins says what is wrong with those of the log that begins at a sequence.
func (c *Checkpoints) CheckOrigins(first events.Seq) error {
	_, err := c.Origins(first)
	if errors.Is(err, fs.ErrNotExist) {
		return &NotCutError{First: first}
	}
	return err
}

// NotCutError says that a log begins where no cut has left anything behind: its
// first segments were lost.
type NotCutError struct{ First events.Seq }

// Error implements error.
func (e *NotCutError) Error() string {
	return fmt.Sprintf("the log begins at %d and was not cut there: what lies before it is missing", e.First)
}

// cutOrigins removes those of other horizons.
func (c *Checkpoints) cutOrigins(first events.Seq) error {
	names, err := filepath.Glob(filepath.Join(c.dir, "*"+originsEnd))
	if err != nil {
		return fmt.Errorf("list origins: %w", err)
	}
	for _, name := range names {
		if name == c.originsPath(first) {
			continue
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old origins: %w", err)
		}
	}
	return nil
}
