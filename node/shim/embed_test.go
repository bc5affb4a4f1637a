package shim

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		Name("0123456789abcdef"):    "0123456789abcdef",
		"README":                    "",
		"packing.zst":               "",
		"shim-0123.zst":             "",
		"shim-0123456789abcdef.zip": "",
	} {
		if got := Hash(name); got != want {
			t.Errorf("Hash(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestUnpack runs what is embedded, or sees that its absence is told.
func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	path, err := Unpack(dir)
	if errors.Is(err, ErrNotBuilt) {
		if !strings.Contains(err.Error(), "just build") {
			t.Fatalf("the error does not say what to do: %v", err)
		}
		t.Skip("this checkout has no packed shim")
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "-v").CombinedOutput(); err != nil {
		t.Fatalf("run %s: %v: %s", path, err, out)
	}
	// A torn file is written anew, a sound one is left alone.
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(dir); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before.Size() == 100 {
		t.Fatal("a torn shim was left in place")
	}
	if _, err := Unpack(dir); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Fatalf("a sound shim was replaced (%v)", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Fatalf("left over: %v", files)
	}
}
