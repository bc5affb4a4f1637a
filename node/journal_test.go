package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/ledger"
)

// A disk that is full while something is told takes nothing from what is told when there is room again.
func TestAFullDiskTearsNoLaterPiece(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("stave", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path := filepath.Join(dir, "journal")
	j, err := openJournal(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go j.write(ctx)
	told := func(name, words string) piece {
		return piece{Piece: ledger.Piece{Pod: &events.PodSeen{Name: name, Facts: []events.Fact{{Message: words}}}}}
	}
	if err := j.add(ctx, told("first", "")); err != nil {
		t.Fatal(err)
	}
	if err := j.add(ctx, told("large", strings.Repeat("x", 100<<10))); err == nil {
		t.Fatal("there is room")
	}
	if err := j.add(ctx, told("second", "")); err != nil {
		t.Fatal(err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openJournal(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	kept, _ := again.after(0, 10)
	if len(kept) != 2 || kept[0].Pod.Name != "first" || kept[1].Pod.Name != "second" {
		t.Errorf("another agent finds %d pieces: %+v", len(kept), kept)
	}
}

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
