package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/ledger"
)

// maxJournal is where the journal is written anew without what is done, in bytes.
const maxJournal = 1 << 20

// piece is one line of the journal: what was seen, or a mark.
type piece struct {
	ledger.Piece
	// Done says that all up to this number is durable in the log; with Seq, up to where.
	Done uint64 `json:"done,omitempty"`
	// Sent, with Seq and Epoch, says that all up to this number was appended, where, and under which lease.
	Sent  uint64     `json:"sent,omitempty"`
	Seq   events.Seq `json:"seq,omitempty"`
	Epoch events.Seq `json:"epoch,omitempty"`
	// Journal, alone in the first line, tells this journal from one that was lost with its disk.
	Journal string `json:"journal,omitempty"`
}

// journal keeps what was seen until the log has it for good. A piece is on this disk before anybody acts on having told
// it, so that neither a killed agent nor a log that lost its tail loses a fact.
type journal struct {
	path string
	id   string
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File
	size    int64
	next    uint64
	adding  []*adding
	kept    []piece    // on disk, not yet known to be durable, by number
	sent    []piece    // the marks of what was appended and is not yet known to be durable
	told    events.Seq // the newest event of what was forgotten, for it is durable
	arrived chan struct{}
	written chan struct{} // closed and replaced when kept grows
	settled func()        // called when kept shrinks
}

// adding is a piece on its way to the disk.
type adding struct {
	piece
	done chan struct{}
	err  error
}

func openJournal(path string, log *slog.Logger) (*journal, error) {
	j := &journal{path: path, log: log, arrived: make(chan struct{}, 1), written: make(chan struct{}), settled: func() {}}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, len(b)+1)
	for lines.Scan() {
		j.load(lines.Bytes())
	}
	if j.id == "" {
		j.id = rand.Text()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.rewrite(); err != nil {
		if bad := j.resume(b); bad != nil {
			return nil, fmt.Errorf("open journal: %w", errors.Join(err, bad))
		}
		log.Warn("the journal cannot be written anew, and is gone on with", "error", err)
	}
	return j, nil
}

// resume goes on with the journal as it is, which may have ended in the middle of
// a line: on a full disk there is no room for another.
func (j *journal) resume(b []byte) error {
	if !bytes.Contains(b, []byte(j.id)) {
		return errors.New("there is none to go on with")
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	whole := int64(bytes.LastIndexByte(b, '\n') + 1)
	if err := f.Truncate(whole); err != nil {
		return errors.Join(err, f.Close())
	}
	j.file, j.size = f, whole
	return nil
}

func (j *journal) load(line []byte) {
	var p piece
	switch {
	case json.Unmarshal(line, &p) != nil: // the machine stopped while it was written: nobody was told that it is here
	case p.Journal != "":
		j.id = p.Journal
	case p.Done > 0:
		j.told = max(j.told, p.Seq)
		j.forget(p.Done)
	case p.Sent > 0:
		j.sent = append(j.sent, p)
	case p.Num > 0:
		j.kept, j.next = append(j.kept, p), max(j.next, p.Num)
	}
}

func (j *journal) forget(done uint64) {
	j.next = max(j.next, done)
	j.kept = slices.DeleteFunc(j.kept, func(p piece) bool { return p.Num <= done })
	for _, p := range j.sent {
		if p.Sent <= done {
			j.told = max(j.told, p.Seq)
		}
	}
	j.sent = slices.DeleteFunc(j.sent, func(p piece) bool { return p.Sent <= done })
}

// rewrite makes a new file of what is kept.
func (j *journal) rewrite() error {
	var b bytes.Buffer
	writeLine(&b, piece{Journal: j.id})
	if j.next > 0 { // numbers go on where they were, also when nothing is kept
		writeLine(&b, piece{Done: j.firstKept() - 1, Seq: j.told})
	}
	for _, p := range append(slices.Clone(j.kept), j.sent...) {
		writeLine(&b, p)
	}
	if err := writeFile(j.path, b.Bytes(), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size = f, int64(b.Len())
	return nil
}

func (j *journal) firstKept() uint64 {
	if len(j.kept) > 0 {
		return j.kept[0].Num
	}
	return j.next + 1
}

func writeLine(b *bytes.Buffer, p piece) {
	b.Write(events.MustBody(p))
	b.WriteByte('\n')
}

// add returns when the piece is on disk.
func (j *journal) add(ctx context.Context, p piece) error {
	a := &adding{piece: p, done: make(chan struct{})}
	j.mu.Lock()
	j.adding = append(j.adding, a)
	j.mu.Unlock()
	select {
	case j.arrived <- struct{}{}:
	default:
	}
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write puts pieces on disk until ctx ends, all that have gathered with one sync.
func (j *journal) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.arrived:
		}
		j.mu.Lock()
		group := j.adding
		j.adding = nil
		err := j.append(group)
		if err == nil {
			j.wakeLocked()
		} else {
			j.log.Error("write journal", "error", err)
		}
		j.mu.Unlock()
		for _, a := range group {
			a.err = err
			close(a.done)
		}
	}
}

func (j *journal) wakeLocked() {
	close(j.written)
	j.written = make(chan struct{})
}

// again wakes who reads the journal: something is to be read once more.
func (j *journal) again() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wakeLocked()
}

func (j *journal) append(group []*adding) error {
	var b bytes.Buffer
	num := j.next
	for _, a := range group {
		num++
		a.Num = num
		writeLine(&b, a.piece)
	}
	if err := j.put(b.Bytes(), true); err != nil {
		return err
	}
	j.next = num
	for _, a := range group {
		j.kept = append(j.kept, a.piece)
	}
	return nil
}

// put writes whole lines. What a full disk took half of is taken back: the next line would be lost with it.
func (j *journal) put(lines []byte, durably bool) error {
	_, err := j.file.Write(lines)
	if err == nil && durably {
		err = j.file.Sync()
	}
	if err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(len(lines))
	return nil
}

// after gives the pieces behind a number, at most n, and what is closed when there are more.
func (j *journal) after(num uint64, n int) ([]piece, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.kept, func(p piece) bool { return p.Num > num })
	if i < 0 {
		return nil, j.written
	}
	return slices.Clone(j.kept[i:min(len(j.kept), i+n)]), j.written
}

// durable lets go of everything up to a number, and tells the newest event that says any of it. The mark needs no sync: without it, facts
// are said twice.
func (j *journal) durable(num uint64) events.Seq {
	j.mu.Lock()
	j.forget(num)
	told := j.told
	var b bytes.Buffer
	writeLine(&b, piece{Done: num})
	err := j.put(b.Bytes(), false)
	if err == nil && j.size > maxJournal && len(j.kept) < ledger.MaxFlush {
		err = j.rewrite()
	}
	if err != nil {
		j.log.Error("write journal", "error", err)
	}
	j.mu.Unlock()
	j.settled()
	return told
}

// landed notes where what was appended stands. Like durable's mark, it needs no sync.
func (j *journal) landed(mark piece) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b bytes.Buffer
	writeLine(&b, mark)
	j.sent = append(j.sent, mark)
	if err := j.put(b.Bytes(), false); err != nil {
		j.log.Error("write journal", "error", err)
	}
}

// unsettled is what an earlier agent appended under its last lease; the feed will tell whether it is durable.
func (j *journal) unsettled() (epoch events.Seq, wait []ledger.Flight) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range j.sent {
		if m.Epoch != epoch {
			epoch, wait = m.Epoch, nil
		}
		wait = append(wait, ledger.Flight{Last: m.Sent, Seq: m.Seq})
	}
	return epoch, wait
}

// holds says whether something told of a pod is not yet durable.
func (j *journal) holds(uid events.UID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.kept, func(p piece) bool { return p.Pod != nil && p.Pod.UID == uid })
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Close()
}
