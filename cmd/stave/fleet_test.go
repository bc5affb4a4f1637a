package main

import (
	"os"
	"strings"
	"testing"
)

// A list of nodes that is damaged is named, with what to do.
func TestDamagedFleetIsNamed(t *testing.T) {
	l := layout{name: "x", data: t.TempDir()}
	if err := os.WriteFile(l.fleetFile(), []byte(`{"nodes": [`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.fleet(); err == nil || !strings.Contains(err.Error(), l.fleetFile()) || !strings.Contains(err.Error(), "help: put it back") {
		t.Error(err)
	}
}
