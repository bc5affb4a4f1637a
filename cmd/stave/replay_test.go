package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A file that was broken off is not taken for a whole one, and does not stand in the way of the next try.
func TestWriteNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path+".half", []byte("of a process that was killed, and longer than what comes"), 0o600); err != nil {
		t.Fatal(err)
	}
	half := func(w io.Writer) error {
		_, err := io.WriteString(w, "one\n")
		return errors.Join(err, context.Canceled)
	}
	if err := writeNew(path, half); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	whole := func(w io.Writer) error { _, err := io.WriteString(w, "one\ntwo\n"); return err }
	if err := writeNew(path, whole); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := writeNew(path, whole); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
}

// Who breaks a command off is told what became of it, and nothing else.
func TestBrokenOffIsTold(t *testing.T) {
	var said goesOn
	if err := brokenOff(errors.Join(errors.New("x"), context.Canceled), "half"); !errors.As(err, &said) || said.what != "half" || !errors.Is(err, context.Canceled) {
		t.Errorf("%#v", err)
	}
	if err := brokenOff(io.EOF, "half"); errors.As(err, &said) || !errors.Is(err, io.EOF) {
		t.Errorf("%#v", err)
	}
}
