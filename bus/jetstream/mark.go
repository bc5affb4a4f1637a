package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
)

// marker is the recorded watermark: a file with two slots that are written in
// turn, so that a write torn by a power cut leaves the other.
//
// It is written after each group's sync, without a sync of its own. That keeps
// it at or below the truth (what it says was synced before), costs one small
// write into the page cache, and is exact after a kill -9. After a power cut it
// may lag by what the kernel had not written back; the boot check only needs it
// to be no greater than the truth, and a lag only narrows what the check can
// tell from a lost tail. It is synced when the log is closed and at each start.
type marker struct {
	file *os.File
	turn int64
}

// slotSize keeps the two slots in different sectors.
const slotSize = 4096

// slotFormat is one slot: the sequence and its checksum, readable with head -1.
const slotFormat = "%020d %08x\n"

func markPath(dir string) string { return filepath.Join(dir, "watermark") }

// openMark opens the record and reads it; 0 when there is none.
func openMark(dir string) (*marker, events.Seq, error) {
	f, err := os.OpenFile(markPath(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open watermark: %w", err)
	}
	m := &marker{file: f}
	var newest events.Seq
	for turn := range int64(2) {
		if seq, ok := m.slot(turn); ok && seq >= newest {
			newest, m.turn = seq, 1-turn
		}
	}
	return m, newest, nil
}

// Recorded is the watermark that the log in a directory has recorded; 0 for none.
func Recorded(dir string) (events.Seq, error) {
	if _, err := os.Stat(markPath(dir)); err != nil {
		return 0, fmt.Errorf("look for watermark: %w", err)
	}
	m, seq, err := openMark(dir)
	if err != nil {
		return 0, err
	}
	return seq, m.file.Close()
}

func (m *marker) slot(turn int64) (events.Seq, bool) {
	b := make([]byte, len(fmt.Sprintf(slotFormat, 0, 0)))
	if _, err := m.file.ReadAt(b, turn*slotSize); err != nil {
		return 0, false // a slot that was never written
	}
	var seq uint64
	var sum uint32
	if n, _ := fmt.Sscanf(string(b), slotFormat, &seq, &sum); n != 2 || sum != checksum(seq) {
		return 0, false
	}
	return events.Seq(seq), true
}

func checksum(seq uint64) uint32 { return crc32.ChecksumIEEE(fmt.Appendf(nil, "%020d", seq)) }

// put records a watermark.
func (m *marker) put(seq events.Seq) error {
	line := fmt.Appendf(nil, slotFormat, uint64(seq), checksum(uint64(seq)))
	if _, err := m.file.WriteAt(line, m.turn*slotSize); err != nil {
		return fmt.Errorf("write watermark: %w", err)
	}
	m.turn = 1 - m.turn
	return nil
}

func (m *marker) close() error { return errors.Join(m.file.Sync(), m.file.Close()) }

// gap is a range of sequences that hold nothing: a tail that a power cut took
// and that was erased at the next start. Sequences are never given twice.
type gap struct{ From, To events.Seq }

func gapsPath(dir string) string { return filepath.Join(dir, "gaps.json") }

func readGaps(dir string) ([]gap, error) {
	b, err := os.ReadFile(gapsPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read gaps: %w", err)
	}
	var out []gap
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("decode gaps: %w", err)
	}
	return out, nil
}

func writeGaps(dir string, gaps []gap) error {
	b, err := json.Marshal(gaps)
	if err == nil {
		err = sealed.Replace(gapsPath(dir), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("record gaps: %w", err)
	}
	return nil
}
