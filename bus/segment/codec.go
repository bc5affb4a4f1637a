package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stave-run/stave/events"
)

// blockEvents is how many events are compressed together, and blockBytes how many
// bytes, but for the last event: a single event costs the reading of one block.
const (
	blockEvents = 256
	blockBytes  = 1 << 20
)

// maxBlock bounds a block's size when it is taken apart.
const maxBlock = 4 << 30

// encode appends one event: lengths and texts, as it travels.
func encode(b []byte, e events.Envelope) []byte {
	b = binary.AppendUvarint(b, uint64(e.Seq))
	b = binary.AppendVarint(b, e.Time.UnixNano())
	b = text(b, string(e.Subject))
	headers := e.Headers()
	b = binary.AppendUvarint(b, uint64(len(headers)))
	for _, h := range headers {
		b = text(text(b, h.Name), h.Value)
	}
	return text(b, e.Body)
}

func text[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errShort says that a block ends in the middle of an event.
var errShort = errors.New("it ends in the middle of an event")

// decoder takes a block apart. Its events share the block's memory.
type decoder struct {
	rest string
	err  error
}

func (d *decoder) uvarint() uint64 {
	n, size := uvarint(d.rest)
	if size <= 0 {
		d.err, d.rest = errShort, ""
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// uvarint is binary.Uvarint for strings.
func uvarint(s string) (n uint64, size int) {
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		c := s[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) text() string {
	n := d.uvarint()
	if d.err != nil || n > uint64(len(d.rest)) {
		d.err, d.rest = errShort, ""
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

// next is the next event; ok is false at the end, or when d.err says what is wrong.
func (d *decoder) next() (e events.Envelope, ok bool) {
	if d.rest == "" || d.err != nil {
		return e, false
	}
	e.Seq, e.Time = events.Seq(d.uvarint()), time.Unix(0, d.varint()).UTC()
	e.Subject = events.Subject(d.text())
	var names, values [16]string
	n := d.uvarint()
	if n > uint64(len(names)) {
		d.err = fmt.Errorf("event %d has %d headers", e.Seq, n)
		return e, false
	}
	for i := range n {
		names[i], values[i] = d.text(), d.text()
	}
	e.Body = []byte(strings.Clone(d.text()))
	if d.err != nil {
		return e, false
	}
	d.err = e.FromHeaders(func(name string) string {
		for i := range n {
			if names[i] == name {
				return values[i]
			}
		}
		return ""
	})
	return e, d.err == nil
}

// window is how far back the bytes of a block are compared, in bytes: farther than blocks are long. The compressor keeps
// room for twice as many for good, which by default is 16 MB.
const window = 1 << 20

// squeeze compresses blocks; each is a frame with a checksum of its own.
var squeeze = must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithWindowSize(window)))

// expand takes blocks apart; it is safe for concurrent use.
var expand = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBlock)))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options are constants
	}
	return v
}
