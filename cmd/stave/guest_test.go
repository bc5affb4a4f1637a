package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stave-run/stave/node/guesttest"
	"github.com/stave-run/stave/node/imagetest"
)

// guestPrograms are the test binaries that run in the guest, by package, with their arguments; it has no sources.
var guestPrograms = []struct{ name, dir, args string }{
	{"ebpf", "../../dataplane/ebpf", "-test.v -test.short -test.skip '^TestObjectsAreFromTheseSources$'"},
	{"stories", ".", "-test.v -test.timeout 40m -test.run '^TestScripts$/" + guestStories + "$'"},
}

// guestStories say most about kernel and cgroups, and bear an emulated processor.
const guestStories = "(first|service|nodeport|limits|resize|statefulset|newimage|claims)"

// TestGuest runs stories on another kernel with other cgroups: Debian's own with cgroup2
// alone, in a virtual machine.
func TestGuest(t *testing.T) {
	switch lacks := guesttest.Missing(); {
	case os.Getenv("STAVE_SOAK") == "":
		t.Skip("guests are for the soak: ./just soak ./cmd/stave")
	case lacks != "":
		t.Skip("NOT VERIFIED: cgroup2 alone and Debian's kernel; " + lacks)
	}
	// Ctrl-C ends the test and not the process: what was made is taken away.
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir := t.TempDir()
	files := map[string]string{imagetest.DefaultCache(): "/root/.cache/stave/images"}
	for name, file := range testImageFiles(t) {
		files[file] = filepath.Join(testImages, name+".tar")
	}
	if _, err := imagetest.Build(ctx, imagetest.DefaultCache()); err != nil {
		t.Fatal(err)
	}
	var programs []guesttest.Program
	for _, p := range guestPrograms {
		programs = append(programs, guestProgram(ctx, t, dir, p.name, p.dir, p.args))
	}
	g := guesttest.Guest{Cgroups: "unified", Programs: programs, Cache: filepath.Join(filepath.Dir(imagetest.DefaultCache()), "guests"),
		Files: files}
	var console strings.Builder
	codes, err := g.Run(ctx, func(line string) {
		fmt.Fprintln(&console, line)
		if milestone(line) {
			fmt.Println(line)
		}
	})
	if err != nil || strings.Contains(console.String(), "--- FAIL") {
		t.Errorf("%v\n%s", err, console.String())
	}
	for _, p := range programs {
		if codes[p.Name] != 0 {
			t.Errorf("%s ended with %d", p.Name, codes[p.Name])
		}
	}
}

// milestone says which lines of a guest's console show its progress.
func milestone(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "guest: ") || strings.HasPrefix(line, "--- ")
}

func guestProgram(ctx context.Context, t *testing.T, dir, name, pkg, args string) guesttest.Program {
	t.Helper()
	binary := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags", "-s -w", "-o", binary, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go test -c %s: %v\n%s", pkg, err, out)
	}
	return guesttest.Program{Name: name, Binary: binary, Dir: pkg, Args: args}
}
