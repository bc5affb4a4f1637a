package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// notesName is the stream of what clients write beside the log.
const notesName = "NOTES"

// maxNotes bounds that stream in bytes. Whoever writes it keeps far below, so
// that what must not be lost is never refused for what may be.
const maxNotes = 256 << 20

// Notes are the embedded server's notes. They have a connection of their own:
// what is acknowledged on the log's is taken for events.
type Notes struct {
	client  *Client
	context nats.JetStreamContext
	room    func() error
	fatal   func(error)
	written atomic.Uint64 // the newest sequence that the server has in its files

	mu     sync.Mutex // held by whoever syncs; who waits for it gathers
	synced events.Seq
	files  noteFiles
	mark   *marker

	ended context.Context // with the server
	end   context.CancelFunc
}

func (s *Server) openNotes(ctx context.Context) error {
	client, err := s.connect(controlUser, s.password)
	if err != nil {
		return err
	}
	n := &Notes{client: client, room: s.log.Room, fatal: s.options.OnFatal,
		files: noteFiles{dir: filepath.Join(s.options.Dir, "jetstream", "$G", "streams", notesName, "msgs"), known: map[string]*noteFile{}}}
	n.ended, n.end = context.WithCancel(context.Background())
	if err := n.open(ctx, s.options); err != nil {
		client.Close()
		return fmt.Errorf("open notes: %w", err)
	}
	client.wrote = n.wrote
	s.notes = n
	return nil
}

func (n *Notes) open(ctx context.Context, o Options) error {
	dir := filepath.Join(o.Dir, "notes")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	js, err := jetstream.New(n.client.nats)
	if err == nil {
		_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: notesName, Subjects: []string{events.NoteSubjects}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, MaxBytes: maxNotes, MaxMsgs: -1})
	}
	if err == nil {
		n.context, err = n.client.nats.JetStream(nats.MaxWait(ackTimeout))
	}
	if err != nil {
		return fmt.Errorf("make stream: %w", err)
	}
	mark, durable, err := openMark(dir)
	if err != nil {
		return err
	}
	n.mark = mark
	last, err := n.Last(ctx)
	if err == nil {
		err = syncFileSystem(o.Dir) // a kill -9 leaves what was written, but unsynced
	}
	if last < durable {
		o.Warn(fmt.Sprintf("notes of clients (leases, events) up to %d were durable, and now they end at %d: the store was set back", durable, last))
	}
	if err == nil {
		err = n.mark.put(last)
	}
	if err != nil {
		return errors.Join(err, n.mark.close())
	}
	return nil
}

// Notes are what clients write beside the log. They live as long as the server.
func (s *Server) Notes() *Notes { return s.notes }

// wrote notes that the server has a sequence in its files.
func (n *Notes) wrote(seq events.Seq) {
	for {
		old := n.written.Load()
		if old >= uint64(seq) || n.written.CompareAndSwap(old, uint64(seq)) {
			return
		}
	}
}

// durable returns when a sequence that was written is on the disk. One sync is
// for all who came while the one before it ran.
func (n *Notes) durable(seq events.Seq) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.synced >= seq:
		return nil
	case n.ended.Err() != nil:
		return bus.ErrClosed // whoever closes syncs all
	}
	upTo := events.Seq(n.written.Load()) // before the sync: what is written during it may miss it
	upTo = max(upTo, seq)
	// The mark is also a proof: a disk that vanishes during a sync can let it look done.
	if err := errors.Join(n.files.sync(), n.mark.put(upTo)); err != nil {
		err = fmt.Errorf("make notes durable: %w", err)
		n.fatal(err)
		return err
	}
	n.synced = upTo
	return nil
}

// Put implements bus.Notes.
func (n *Notes) Put(ctx context.Context, subject events.Subject, body []byte, last events.Seq) (events.Seq, error) {
	if len(body) > bus.MaxNote {
		return 0, fmt.Errorf("write note of %d bytes, at most %d: %w", len(body), bus.MaxNote, bus.ErrTooLarge)
	}
	if n.ended.Err() != nil {
		return 0, bus.ErrClosed
	}
	if err := n.room(); err != nil && len(body) > 0 {
		return 0, err // taking away makes room
	}
	r := bus.Expecting(events.Envelope{Subject: subject, Body: body}, last)
	seqs, errs := n.client.singles(ctx, []bus.Record{r})
	if errs[0] != nil {
		return 0, errs[0]
	}
	return seqs[0], n.durable(seqs[0])
}

// Forget implements bus.Notes. It need not be durable: what comes back is
// forgotten again.
func (n *Notes) Forget(ctx context.Context, seq events.Seq) error {
	err := n.context.DeleteMsg(notesName, uint64(seq), nats.Context(ctx))
	if err == nil {
		return nil
	}
	if _, gone := n.context.GetMsg(notesName, uint64(seq), nats.Context(ctx)); errors.Is(gone, nats.ErrMsgNotFound) {
		return nil // somebody has written there since
	}
	return fmt.Errorf("forget note %d: %w", seq, err)
}

// Last implements bus.Notes.
func (n *Notes) Last(ctx context.Context) (events.Seq, error) {
	info, err := n.context.StreamInfo(notesName, nats.Context(ctx))
	if err != nil {
		return 0, fmt.Errorf("look at notes: %w", err)
	}
	return events.Seq(info.State.LastSeq), nil
}

// Follow implements bus.Notes.
func (n *Notes) Follow(ctx context.Context, f func(bus.Note) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ended, cancel)()
	sub, err := n.context.SubscribeSync(events.NoteSubjects, nats.OrderedConsumer(), nats.DeliverAll())
	if err != nil {
		return fmt.Errorf("follow notes: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails when the connection is gone, and then it is done
	if err := sub.SetPendingLimits(-1, pendingBytes); err != nil {
		return fmt.Errorf("follow notes: %w", err)
	}
	for told := events.Seq(0); ; {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case n.ended.Err() != nil:
			return bus.ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("follow notes: %w", err)
		}
		md, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read note's place: %w", err)
		}
		seq := events.Seq(md.Sequence.Stream)
		if seq <= told {
			continue // a consumer that was made anew repeats itself
		}
		told = seq
		if err := n.durable(seq); err != nil {
			return err
		}
		if err := f(bus.Note{Subject: events.Subject(m.Subject), Seq: seq, Time: md.Timestamp.UTC(), Body: m.Data}); err != nil {
			return err
		}
	}
}

func (n *Notes) close() {
	n.end()
	n.client.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files.close()
	_ = n.mark.close() // it may lag
}

var _ bus.Notes = (*Notes)(nil)

// noteFiles are the files that the server keeps notes in. It appends to the newest,
// and writes any of them anew when most of what is in it was replaced.
type noteFiles struct {
	dir   string
	known map[string]*noteFile
}

// noteFile is one of them, kept open so that no failed write-back goes unreported.
type noteFile struct {
	file   *os.File
	inode  uint64
	synced stamp // as it was before the last sync
}

// stamp tells whether a file is as it was.
type stamp struct {
	size    int64
	changed time.Time
}

// sync returns when everything written before the call is durable. The newest file
// is always synced, also when it looks unchanged: a write that failed changes nothing.
func (f *noteFiles) sync() error {
	names, newest, err := f.list()
	if err != nil {
		return err
	}
	anew := false
	for _, name := range names {
		changed, err := f.syncOne(name, name == newest)
		if err != nil {
			return err
		}
		anew = anew || changed
	}
	for name, x := range f.known {
		if !slices.Contains(names, name) {
			_ = x.file.Close() // it was emptied, and is gone
			delete(f.known, name)
		}
	}
	if !anew {
		return nil
	}
	d, err := os.Open(f.dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("sync directory of notes: %w", err)
	}
	return nil
}

// syncOne syncs a file that is not as it was, and says whether it is another one.
func (f *noteFiles) syncOne(name string, always bool) (anew bool, err error) {
	path := filepath.Join(f.dir, name)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); errors.Is(err, fs.ErrNotExist) {
		return true, nil // it was emptied meanwhile
	} else if err != nil {
		return false, fmt.Errorf("look at file of notes: %w", err)
	}
	x := f.known[name]
	if x == nil || x.inode != st.Ino {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("open file of notes: %w", err)
		}
		if x != nil {
			_ = x.file.Close() // what it held lies in the new one
		}
		x, anew = &noteFile{file: file, inode: st.Ino}, true
		f.known[name] = x
	}
	now := stamp{st.Size, time.Unix(st.Mtim.Unix())}
	if !always && !anew && now == x.synced {
		return false, nil
	}
	if err := unix.Fdatasync(int(x.file.Fd())); err != nil {
		return false, fmt.Errorf("sync file of notes: %w", err)
	}
	x.synced = now
	return anew, nil
}

// close lets go of the files.
func (f *noteFiles) close() {
	for _, x := range f.known {
		_ = x.file.Close() // it was synced
	}
}

// list names the files and the newest of them: they are numbered.
func (f *noteFiles) list() (names []string, newest string, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, "", fmt.Errorf("list files of notes: %w", err)
	}
	last := -1
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".blk")
		n, err := strconv.Atoi(stem)
		if !ok || err != nil {
			continue
		}
		names = append(names, e.Name())
		if n > last {
			last, newest = n, e.Name()
		}
	}
	return names, newest, nil
}
