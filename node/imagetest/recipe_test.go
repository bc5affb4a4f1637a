package imagetest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestImagesByRecipe(t *testing.T) {
	own := filepath.Join(t.TempDir(), "own")
	if err := os.WriteFile(own, []byte("#!/bin/sh\necho mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	base := &Layer{Busybox: true}
	tools := &Layer{
		Packages: []string{"netcat-openbsd"},
		Files: []File{
			{Name: "usr/bin/nc", Link: "nc.openbsd"}, {Name: "own", Mode: 0o4755, From: own},
			{Name: "etc/greeting", Body: "hello\n"}, {Name: "etc/passwd", Body: "root:x:0:0::/:/bin/sh\n"},
		},
	}
	wanted := []Recipe{
		{Tags: []string{"shop/tools:1", "shop/tools:2"}, Layers: []*Layer{base, tools}, Config: v1.Config{Cmd: []string{"/own"}}},
		{Tags: []string{"shop/base:1"}, Layers: []*Layer{base}},
	}
	images, err := Make(t.Context(), DefaultCache(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	r := Start(t)
	for tag, img := range images {
		if err := r.Put(tag, img); err != nil {
			t.Fatal(err)
		}
	}
	pull(t, r, "shop/base", "1", t.TempDir())
	pull(t, r, "shop/tools", "2", t.TempDir())
	root := t.TempDir()
	if config := pull(t, r, "shop/tools", "1", root); strings.Join(config.Config.Cmd, " ") != "/own" {
		t.Errorf("command = %q", config.Config.Cmd)
	}
	fakeDev(t, root)
	out := inside(t, root, "/own; cat /etc/greeting /etc/passwd; /usr/bin/nc -h 2>&1 | head -1; stat -c %a /own")
	for _, want := range []string{"mine\n", "hello\n", "root:x:0:0::/:/bin/sh\n", "OpenBSD netcat", "4755\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}

	// The bytes of a file are part of what the images are kept by.
	if err := os.WriteFile(own, []byte("#!/bin/sh\necho other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := Make(t.Context(), DefaultCache(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	before, err1 := images["shop/tools:1"].Digest()
	after, err2 := again["shop/tools:1"].Digest()
	if err1 != nil || err2 != nil || before == after {
		t.Errorf("a changed file left the image as it was: %s (%v, %v)", after, err1, err2)
	}
}

func TestStandingForAnother(t *testing.T) {
	r := Start(t)
	if err := r.StandFor("registry.k8s.io"); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(r.HostsDir, "registry.k8s.io", "hosts.toml"))
	if err != nil || !strings.Contains(string(body), `[host."http://`+r.Addr+`"]`) {
		t.Errorf("hosts.toml: %v\n%s", err, body)
	}
	if status, _ := get(t, "http://"+r.Addr+"/v2/library/busybox/manifests/latest?ns=registry.k8s.io"); status != http.StatusOK {
		t.Errorf("status %d with the registry's name", status)
	}
}
