package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
)

const (
	kind    = "segment"
	version = 1
	ending  = ".segment"
)

// Head is what a segment says of itself.
type Head struct {
	First events.Seq `json:"first"`
	Last  events.Seq `json:"last"`
	Count int        `json:"count"` // less than Last-First+1 where a power cut left a recorded gap
	From  time.Time  `json:"from"`  // of the first event
	To    time.Time  `json:"to"`    // of the last
	// Prev is the chain of the segment before, Chain that of this one: a hash
	// over Prev and every event. An event that was changed, left out or added
	// breaks every chain after it.
	Prev  string `json:"prev,omitempty"`
	Chain string `json:"chain"`
	// Blocks and Index say where things lie, counted from the end of the head.
	Blocks []Part `json:"blocks"`
	Index  Part   `json:"index"`
}

// Part is a piece of a segment's body.
type Part struct {
	First  events.Seq `json:"first,omitempty"` // of a block
	Offset int64      `json:"offset"`
	Size   int        `json:"size"`
	Sum    uint32     `json:"sum"` // CRC-32 of the bytes
}

func path(dir string, first, last events.Seq) string {
	return filepath.Join(dir, fmt.Sprintf("%020d-%020d%s", uint64(first), uint64(last), ending))
}

// write seals events, which are in order and not none, behind the segment whose
// chain is prev.
func write(dir, prev string, log []events.Envelope) (Head, error) {
	h, body := build(prev, log)
	return h, h.write(dir, body)
}

// write stores a segment that was built.
func (h Head) write(dir string, body []byte) error {
	return sealed.Write(path(dir, h.First, h.Last), kind, version, h, body)
}

// build is the segment that events come to.
func build(prev string, log []events.Envelope) (h Head, body []byte) {
	h = Head{First: log[0].Seq, Last: log[len(log)-1].Seq, Count: len(log), From: log[0].Time.UTC(), To: log[len(log)-1].Time.UTC(), Prev: prev}
	var index Index
	part := func(first events.Seq, b []byte) Part {
		p := Part{First: first, Offset: int64(len(body)), Size: len(b), Sum: crc32.ChecksumIEEE(b)}
		body = append(body, b...)
		return p
	}
	sum := sha256.New()
	sum.Write([]byte(prev))
	var plain []byte
	for len(log) > 0 {
		n := 0
		for plain = plain[:0]; n < len(log) && n < blockEvents && len(plain) < blockBytes; n++ {
			plain = encode(plain, log[n])
			index.Note(log[n])
		}
		sum.Write(plain)
		h.Blocks = append(h.Blocks, part(log[0].Seq, squeeze.EncodeAll(plain, nil)))
		log = log[n:]
	}
	h.Chain = hex.EncodeToString(sum.Sum(nil))
	h.Index = part(0, squeeze.EncodeAll(index.encode(), nil))
	return h, body
}

// segment is one file that is read from.
type segment struct {
	Head
	path string
	body int64 // where the body begins
	size int64 // of the file
}

// open looks at a file's head only.
func open(path string) (*segment, error) {
	o, err := sealed.Look(path)
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, body: o.Body, size: o.Size}
	if err := json.Unmarshal(o.Head, &s.Head); err != nil || len(s.Blocks) == 0 {
		return nil, s.damaged("its head cannot be read")
	}
	return s, nil
}

func (s *segment) damaged(why string) error { return &sealed.DamageError{Path: s.path, Why: why} }

// verify reads the whole file: its checksum, and the chain over its events.
func (s *segment) verify() error {
	f, err := sealed.Read(s.path, kind)
	if err != nil {
		return err
	}
	if f.Version != version {
		return &sealed.VersionError{Path: s.path, Version: f.Version, Knows: version}
	}
	sum := sha256.New()
	sum.Write([]byte(s.Prev))
	for _, p := range s.Blocks {
		plain, err := s.plain(f.Body[min(p.Offset, int64(len(f.Body))):], p)
		if err != nil {
			return err
		}
		sum.Write(plain)
	}
	if hex.EncodeToString(sum.Sum(nil)) != s.Chain {
		return s.damaged("its events are others than when it was sealed")
	}
	return nil
}

// plain checks and expands a part that b begins with.
func (s *segment) plain(b []byte, p Part) ([]byte, error) {
	if len(b) < p.Size || crc32.ChecksumIEEE(b[:p.Size]) != p.Sum {
		return nil, s.damaged(fmt.Sprintf("the part at %d is another than when it was written", p.Offset))
	}
	plain, err := expand.DecodeAll(b[:p.Size], nil)
	if err != nil {
		return nil, s.damaged(err.Error())
	}
	return plain, nil
}

// part reads one part of the file.
func (s *segment) part(f *os.File, p Part) ([]byte, error) {
	b := make([]byte, p.Size)
	if _, err := f.ReadAt(b, s.body+p.Offset); err != nil {
		return nil, s.damaged(err.Error())
	}
	return s.plain(b, p)
}

// read calls f for the events from..to.
func (s *segment) read(from, to events.Seq, f func(events.Envelope) error) error {
	file, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("read segment: %w", err)
	}
	defer file.Close()
	for i, p := range s.Blocks {
		if p.First > to || i+1 < len(s.Blocks) && s.Blocks[i+1].First <= from {
			continue
		}
		plain, err := s.part(file, p)
		if err != nil {
			return err
		}
		if err := s.block(string(plain), from, to, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) block(plain string, from, to events.Seq, f func(events.Envelope) error) error {
	d := decoder{rest: plain}
	for {
		e, ok := d.next()
		if !ok {
			break
		}
		if e.Seq < from {
			continue
		}
		if e.Seq > to {
			return nil
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if d.err != nil {
		return s.damaged(d.err.Error())
	}
	return nil
}

// find lists the events that speak of an object.
func (s *segment) find(k events.Key) ([]events.Seq, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	defer file.Close()
	b, err := s.part(file, s.Index)
	if err != nil {
		return nil, err
	}
	seqs, ok := lookUp(bytes.Clone(b), k)
	if !ok {
		return nil, s.damaged("its index cannot be read")
	}
	return seqs, nil
}
