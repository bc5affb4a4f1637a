package guesttest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestBoot: a guest comes up, runs a program with its arguments, tells how it ended, and leaves nothing.
func TestBoot(t *testing.T) {
	if lacks := Missing(); os.Getenv("STAVE_SOAK") == "" || lacks != "" {
		t.Skip("guests are for the soak, on a machine that has what they need: " + lacks)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the first time it fetches a kernel, and another guest may come up beside it
	defer cancel()
	home, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(home, "stave", "guests")
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ngrep -q memory /sys/fs/cgroup/cgroup.controllers && exit $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	before, _ := filepath.Glob(filepath.Join(cache, "guest-*")) // of a run that was killed, or that is under way
	g := Guest{Cgroups: "unified", Cache: cache, Programs: []Program{{Name: "good", Binary: program, Dir: t.TempDir(), Args: "0"}, {Name: "bad", Binary: program, Dir: t.TempDir(), Args: "3"}}}
	codes, err := g.Run(ctx, func(line string) { t.Log(line) })
	if err != nil || codes["good"] != 0 || codes["bad"] != 3 || len(codes) != 2 {
		t.Errorf("%v %v", codes, err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "guest-*"))
	if left = slices.DeleteFunc(left, func(dir string) bool { return slices.Contains(before, dir) }); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
