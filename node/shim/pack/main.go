// Command pack compiles the shim and puts it, compressed, where package shim embeds it; it does nothing when the one
// there is what the sources give. Run it by `go generate ./node/shim`.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/stave-run/stave/node/shim"
)

func main() {
	if err := pack("bin"); err != nil {
		fmt.Fprintln(os.Stderr, "pack shim:", err)
		os.Exit(1)
	}
}

// pack works in the directory of package shim, where go generate runs it.
func pack(dir string) error {
	raw, err := compile()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, shim.Name(shim.Sum(raw)))
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	if err := clear(dir); err != nil {
		return err
	}
	// Renamed into place: a build that runs at the same time embeds a whole file or none.
	tmp := filepath.Join(dir, "packing.zst")
	if err := os.WriteFile(tmp, enc.EncodeAll(raw, nil), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// compile builds a static shim without debug information; -trimpath and no VCS stamp make it the same everywhere. It speaks
// ttrpc alone: without gRPC, and HTTP with it, it is little more than half as large, here and in the memory of every pod.
func compile() ([]byte, error) {
	tmp, err := os.MkdirTemp("", "stave-shim-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "shim")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "no_grpc", "-ldflags", "-s -w", "-o", out, "./cmd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return os.ReadFile(out)
}

// clear removes shims that earlier sources gave, so that one is embedded and no more.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if shim.Hash(e.Name()) == "" {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
