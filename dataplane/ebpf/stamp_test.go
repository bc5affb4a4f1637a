package ebpf

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write objects.stamp (go generate does)")

const stampFile = "objects.stamp"

// TestObjectsAreFromTheseSources fails when a program's source, or the object, was
// changed without the other: then `just generate` has to be run.
func TestObjectsAreFromTheseSources(t *testing.T) {
	got := "sources " + hashOf(t, "bpf/*", "doc.go") + "\nobject " + hashOf(t, "closer_bpfel.o", "programs_bpfel.o") + "\n"
	if *update {
		version, err := exec.Command("clang", "--version").Output()
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := bytes.Cut(version, []byte("\n"))
		if err := os.WriteFile(stampFile, []byte(got+"compiler "+string(first)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(stampFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(want, []byte(got)) {
		t.Fatalf("the eBPF objects are not from these sources; run `just generate`\nhave:\n%swant:\n%s", got, want)
	}
}

// hashOf covers the names and contents of the files, in the order of their names.
func hashOf(t *testing.T, patterns ...string) string {
	t.Helper()
	h := sha256.New()
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil || len(names) == 0 {
			t.Fatalf("no files for %s: %v", p, err)
		}
		for _, name := range names {
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(h, "%s %d\n%s", name, len(body), body)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
