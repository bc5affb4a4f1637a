// Package sealed keeps files that are written once, whole, and verified before
// anything in them is believed: checkpoints and segments of the log.
//
// A file begins with one line that says what it is and the checksum of all that
// follows, then a line of JSON (its head), then its body:
//
//	stave checkpoint v1 sha256:9f86d0…
//	{"seq":41022,…}
//	…
package sealed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// File is what Read found, verified.
type File struct {
	Kind    string
	Version int
	Head    json.RawMessage
	Body    []byte
}

// DamageError says that a file is not what was written. Nothing of it is served.
type DamageError struct {
	Path string
	Why  string
}

// Error implements error.
func (e *DamageError) Error() string { return fmt.Sprintf("%s is damaged: %s", e.Path, e.Why) }

// VersionError says that a sound file is of a version that this program does not
// know. It is no damage: nothing may be done to the file.
type VersionError struct {
	Path           string
	Version, Knows int
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s was written by another version of stave: its form is %d, this one knows %d; use the newer one", e.Path, e.Version, e.Knows)
}

const firstLine = "stave %s v%d sha256:%s\n"

// Write stores a file whole or not at all; it is durable when Write returns.
func Write(path, kind string, version int, head any, body []byte) error {
	h, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	first := fmt.Appendf(nil, firstLine, kind, version, checksum(kind, version, h, []byte{'\n'}, body))
	if err := Replace(path, first, h, []byte{'\n'}, body); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Read reads and verifies a file; *DamageError when it is not what was written.
func Read(path, kind string) (File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", kind, err)
	}
	f, why := parse(b, kind)
	if why != "" {
		return File{}, &DamageError{path, why}
	}
	return f, nil
}

// Copy copies a file that is what was written; *DamageError when it is not.
func Copy(from, to, kind string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", kind, err)
	}
	if _, why := parse(b, kind); why != "" {
		return &DamageError{from, why}
	}
	if err := Replace(to, b); err != nil {
		return fmt.Errorf("copy %s: %w", kind, err)
	}
	return nil
}

// headBytes is how far Look looks.
const headBytes = 64 << 10

// Outline is where things lie in a file.
type Outline struct {
	Head json.RawMessage
	Body int64 // where the body begins
	Size int64 // of the whole file, in bytes
}

// Look is the head of a file without the verification that Read makes: for
// lists, and for choosing what to read.
func Look(path string) (Outline, error) {
	f, err := os.Open(path)
	if err != nil {
		return Outline{}, fmt.Errorf("look at sealed file: %w", err)
	}
	defer f.Close()
	at, err := f.Stat()
	if err != nil {
		return Outline{}, fmt.Errorf("look at sealed file: %w", err)
	}
	b := make([]byte, headBytes)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return Outline{}, fmt.Errorf("look at %s: %w", path, err)
	}
	first, rest, _ := bytes.Cut(b[:n], []byte{'\n'})
	head, _, ok := bytes.Cut(rest, []byte{'\n'})
	if !ok || !json.Valid(head) {
		return Outline{}, &DamageError{path, "it has no head"}
	}
	return Outline{Head: head, Body: int64(len(first) + len(head) + 2), Size: at.Size()}, nil
}

func parse(b []byte, kind string) (f File, why string) {
	line, rest, ok := bytes.Cut(b, []byte{'\n'})
	if !ok {
		return f, "it has no first line"
	}
	var want string
	if n, _ := fmt.Sscanf(string(line)+"\n", firstLine, &f.Kind, &f.Version, &want); n != 3 || f.Kind != kind {
		return f, fmt.Sprintf("its first line is not that of a %s", kind)
	}
	if checksum(f.Kind, f.Version, rest) != want {
		return f, "its checksum is another than when it was written"
	}
	head, body, ok := bytes.Cut(rest, []byte{'\n'})
	if !ok || !json.Valid(head) {
		return f, "it has no head"
	}
	f.Head, f.Body = head, body
	return f, ""
}

// checksum covers the first line's own words too.
func checksum(kind string, version int, parts ...[]byte) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d\n", kind, version)
	for _, p := range parts {
		sum.Write(p)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Replace writes a file of mode 0600 beside path, syncs it, moves it there, and
// syncs the directory.
func Replace(path string, parts ...[]byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it was moved
	for _, p := range parts {
		if err == nil {
			_, err = f.Write(p)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
