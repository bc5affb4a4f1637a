// Package shim holds the compressed shim binary (see cmd) and unpacks it.
//
// `go generate` (part of `just build`) compiles cmd and puts it into bin as shim-<hash>.zst, which git ignores. A
// checkout where that has not happened still compiles; Unpack then says what is missing.
package shim

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

//go:generate go run ./pack

//go:embed bin
var bin embed.FS

// ErrNotBuilt means that this program was compiled without the shim.
var ErrNotBuilt = errors.New("this binary was built without its container shim: run `just build` (or `go generate ./node/shim`) and build again")

// prefix begins the name of the unpacked file; containerd wants none in particular for an absolute path, but people who
// read `ps` recognise it.
const prefix = "containerd-shim-stave-"

// Unpack writes the embedded shim below dir, unless it is there, and returns its absolute path. The name carries the
// content's hash: shims of an older version go on running from, and being started for their own pods with, their file.
func Unpack(dir string) (string, error) {
	packed, err := find()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join(dir, prefix+Hash(packed)))
	if err != nil {
		return "", fmt.Errorf("find shim directory: %w", err)
	}
	if ok, err := sound(path, Hash(packed)); err != nil || ok {
		return path, err
	}
	if err := unpack(packed, path); err != nil {
		return "", fmt.Errorf("unpack shim: %w", err)
	}
	return path, nil
}

// Unpacked are the paths of all shims that were ever unpacked below dir and are still there, of any version.
func Unpacked(dir string) ([]string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find shim directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list shims: %w", err)
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}

// find names the packed shim in the embedded directory.
func find() (string, error) {
	entries, err := bin.ReadDir("bin")
	if err != nil {
		return "", fmt.Errorf("read embedded files: %w", err)
	}
	for _, e := range entries {
		if Hash(e.Name()) != "" {
			return e.Name(), nil
		}
	}
	return "", ErrNotBuilt
}

// sound says whether the file is there with the content that its name promises: a crash while an earlier version
// unpacked it, or a full disk, must not make a node that never starts a container.
func sound(path, hash string) (bool, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read shim: %w", err)
	}
	return Sum(raw) == hash, nil
}

func unpack(packed, path string) error {
	zipped, err := bin.ReadFile("bin/" + packed)
	if err != nil {
		return err
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer dec.Close()
	raw, err := dec.DecodeAll(zipped, nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// A new file renamed over the name: two agents may unpack at once, and a running binary cannot be written to.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".shim-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(raw); err != nil {
		tmp.Close()
		return err
	}
	if err := errors.Join(tmp.Chmod(0o755), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Name is that of the packed shim with the given content hash, within bin.
func Name(hash string) string { return "shim-" + hash + ".zst" }

// Hash is the inverse of Name, empty for any other file.
func Hash(name string) string {
	const head, tail, digits = len("shim-"), len(".zst"), 16
	if len(name) != head+digits+tail {
		return ""
	}
	if hash := name[head : head+digits]; Name(hash) == name {
		return hash
	}
	return ""
}

// Sum is the content hash of an unpacked shim: the first 16 hexadecimal digits of its SHA-256.
func Sum(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}
