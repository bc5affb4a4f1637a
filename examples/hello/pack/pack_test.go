package main

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestPack(t *testing.T) {
	dir := t.TempDir()
	binary, out := filepath.Join(dir, "app"), filepath.Join(dir, "app.tar")
	if err := os.WriteFile(binary, []byte("#!not really"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := pack(binary, "app:one", out); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("app:one")
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(out, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config.Entrypoint; len(got) != 1 || got[0] != "/app" {
		t.Errorf("entry point = %q", got)
	}
	files := mutate.Extract(img)
	defer files.Close()
	r := tar.NewReader(files)
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil || h.Name != "app" || h.Mode != 0o755 || string(body) != "#!not really" {
		t.Errorf("file %q, mode %o, body %q, %v", h.Name, h.Mode, body, err)
	}
}

func TestPackRefusesABadName(t *testing.T) {
	if err := pack("app", "Not A Name", filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("packed under a name that no registry would take")
	}
}
