package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/ledger"
)

func seenOf(uid string) *adding {
	return &adding{piece: piece{Piece: ledger.Piece{Pod: &events.PodSeen{UID: events.UID(uid)}}}}
}

// A journal that cannot be written anew, as on a full disk, is gone on with as it
// is: a node starts, and loses nothing of what it kept.
func TestJournalWithoutRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := openJournal(path, slog.Default())
	if err == nil {
		err = j.append([]*adding{seenOf("one"), seenOf("two")})
	}
	if err == nil {
		err = j.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err == nil { // the disk took half of the next line, and takes no other file
		err = os.WriteFile(path, append(b, `{"num":3,"po`...), 0o600)
	}
	if err == nil {
		err = os.MkdirAll(path+".new/in the way", 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	for turn := range 2 {
		j, err := openJournal(path, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := j.after(0, 10); len(got) != 2+turn {
			t.Errorf("start %d: %d pieces", turn, len(got))
		}
		if err := j.append([]*adding{seenOf("three")}); err != nil {
			t.Error(err)
		}
		if err := j.close(); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(path, slog.Default()); err == nil {
		t.Error("there is none, and none can be written")
	}
}

// What cannot be written leaves nothing behind that the next piece would hang on.
func TestJournalTakesLinesWhole(t *testing.T) {
	j, err := openJournal(filepath.Join(t.TempDir(), "journal"), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.append([]*adding{seenOf("one")}); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file, size := j.file, j.size
	j.file = full
	if err := j.append([]*adding{seenOf("two")}); err == nil {
		t.Error("a full disk took it")
	}
	j.file = file
	if got, _ := j.after(0, 10); len(got) != 1 || j.size != size {
		t.Errorf("%d pieces, %d bytes of %d", len(got), j.size, size)
	}
	if err := j.append([]*adding{seenOf("two")}); err != nil {
		t.Fatal(err)
	}
	if at, err := file.Stat(); err != nil || at.Size() != j.size {
		t.Errorf("%d bytes are counted, %v, %v", j.size, at, err)
	}
}
