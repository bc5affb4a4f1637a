package main

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/stave-run/stave/node/imagetest"
)

// serve makes the suite's images and serves them on loopback, in the place of the registries that their names say.
func serve(ctx context.Context, t *tools, hosts string) (*imagetest.Registry, error) {
	listed, err := output(ctx, t.path("e2e.test"), "--list-images")
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(listed))
	slices.Sort(names)
	say("making the images")
	made, err := makeImages(ctx, t, names)
	if err != nil {
		return nil, err
	}
	r, err := imagetest.Serve(ctx, "127.0.0.1:0", hosts, imagetest.DefaultCache())
	if err != nil {
		return nil, err
	}
	if err := put(r, names, made); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// put gives the registry all images that there are. The registries of all names are stood for: what is not here is not
// anywhere, and says so at once.
func put(r *imagetest.Registry, names []string, made map[string]v1.Image) error {
	for tag, img := range made {
		if err := r.Put(tag, img); err != nil {
			return err
		}
	}
	// Images of imagetest's own that do for these, in the order of their versions.
	stock := map[string][]string{"nginx": {"library/nginx:1.14", "library/nginx:stable"}}
	for _, name := range names {
		host, tag, _ := strings.Cut(name, "/")
		if err := r.StandFor(host); err != nil {
			return err
		}
		repository, _, _ := strings.Cut(path.Base(tag), ":")
		if ours := stock[repository]; len(ours) > 0 {
			stock[repository] = ours[min(1, len(ours)-1):] // the last does for all that follow
			if err := r.Alias(ours[0], tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeImages makes the images of these names. Some that only specs of storage drivers want have no recipe.
func makeImages(ctx context.Context, t *tools, names []string) (map[string]v1.Image, error) {
	stock := newShelf(t)
	first, err := imagetest.Make(ctx, imagetest.DefaultCache(), []imagetest.Recipe{stock.pause("pause:testing")})
	if err != nil {
		return nil, err
	}
	if err := stock.holdRegistry("pause", "testing", first["pause:testing"]); err != nil {
		return nil, err
	}
	var recipes []imagetest.Recipe
	for _, name := range names {
		host, tag, _ := strings.Cut(name, "/")
		if host == "gcr.io" || strings.HasPrefix(host, "invalid.") { // specs expect that nobody gets them
			continue
		}
		if r, ok := stock.recipe(tag); ok {
			recipes = append(recipes, r)
		}
	}
	return imagetest.Make(ctx, imagetest.DefaultCache(), recipes)
}

// shelf has the layers that images share.
type shelf struct {
	t                           *tools
	base, shell, tools, agnhost *imagetest.Layer
}

// passing is the shell of Busybox, whose words a spec looks for. Debian's drops variables whose names are no words, which
// other specs look for among those of its children: where there are some, bash passes them on.
const passing = `#!/bin/bash
while IFS= read -r -d '' variable; do
	case ${variable%%=*} in
	[!A-Za-z_]* | *[!A-Za-z0-9_]*) exec -a /bin/sh /bin/bash "$@" ;;
	esac
done </proc/self/environ
exec -a /bin/sh /bin/busybox "$@"
`

func newShelf(t *tools) *shelf {
	s := &shelf{t: t, base: &imagetest.Layer{Busybox: true}}
	s.shell = &imagetest.Layer{Files: []imagetest.File{{Name: "usr/bin/sh", Mode: 0o755, Body: passing}}, Packages: []string{"bash"}}
	// Busybox's shell runs tools of its own before those that lie on the path: these images have bash.
	s.tools = &imagetest.Layer{
		Files: []imagetest.File{
			{Name: "usr/bin/sh", Link: "bash"}, {Name: "usr/bin/nc", Link: "nc.openbsd"},
			{Name: "etc/wgetrc", Body: "tries = 1\n"}, // as that of Busybox, which falls over its -T in Debian 12
		},
		Packages: []string{"bash", "bind9-dnsutils", "bind9-host", "coreutils", "curl", "iperf", "iproute2", "libc-bin", "netcat-openbsd", "socat",
			"stress", "util-linux", "wget"},
	}
	porter := filepath.Join(t.sources, "test/images/agnhost/porter")
	s.agnhost = &imagetest.Layer{Files: []imagetest.File{
		{Name: "agnhost", Mode: 0o755, From: t.path("agnhost")}, {Name: "agnhost-2", Link: "agnhost"},
		{Name: "localhost.crt", From: filepath.Join(porter, "localhost.crt")}, {Name: "localhost.key", From: filepath.Join(porter, "localhost.key")},
		{Name: "uploads/", Mode: 0o777},
		{Name: "etc/os-release", Body: "NAME=\"Alpine Linux\"\n"}, // which the original stands on, and a spec looks for
		// A spec asks for the groups that the image gives this user.
		{Name: "etc/passwd", Body: "root:x:0:0:root:/root:/bin/sh\nuser-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
		{Name: "etc/group", Body: "root:x:0:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\nnogroup:x:65534:\n"},
	}}
	return s
}

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// recipe says how the image of a tag is made; ok is false for one that nobody here knows.
func (s *shelf) recipe(tag string) (r imagetest.Recipe, ok bool) {
	repository, _, _ := strings.Cut(tag, ":")
	switch name := path.Base(repository); name {
	case "agnhost":
		return s.ofAgnhost(tag, v1.Config{Cmd: []string{"pause"}}), true
	case "busybox":
		return s.of(tag, v1.Config{Cmd: []string{"sh"}}, s.shell), true
	case "kitten", "nautilus":
		return s.ofAgnhost(tag, v1.Config{Cmd: []string{"test-webserver"}}, s.page(name)), true
	case "nonroot":
		return s.ofAgnhost(tag, v1.Config{Cmd: []string{"pause"}, User: "1234"}), true
	case "pause":
		return s.pause(tag), true
	case "ipc-utils", "glibc-dns-testing":
		return s.of(tag, v1.Config{Cmd: []string{"bash"}}, s.tools), true
	case "nonewprivs":
		return s.of(tag, v1.Config{Cmd: []string{"nnp"}}, s.program("usr/local/bin/nnp", 0o4755)), true
	case "resource-consumer":
		return s.of(tag, v1.Config{Entrypoint: []string{"/consumer"}}, s.tools, s.program("consumer", 0o755), s.program("consume-cpu/consume-cpu", 0o755)), true
	case "sample-apiserver", "regression-issue-74839":
		return s.of(tag, v1.Config{Entrypoint: []string{"/" + name}}, s.program(name, 0o755)), true
	case "etcd":
		return s.of(tag, v1.Config{Entrypoint: []string{"etcd"}}, s.program("usr/local/bin/etcd", 0o755)), true
	}
	return imagetest.Recipe{}, false
}

// of is an image of some layers above a shell and the usual tools.
func (s *shelf) of(tag string, config v1.Config, layers ...*imagetest.Layer) imagetest.Recipe {
	config.Env = []string{searchPath}
	return imagetest.Recipe{Tags: []string{tag}, Layers: append([]*imagetest.Layer{s.base}, layers...), Config: config}
}

func (s *shelf) ofAgnhost(tag string, config v1.Config, layers ...*imagetest.Layer) imagetest.Recipe {
	config.Entrypoint = []string{"/agnhost"}
	return s.of(tag, config, append([]*imagetest.Layer{s.tools, s.agnhost}, layers...)...)
}

// program is a layer of a program that was built.
func (s *shelf) program(at string, mode int64) *imagetest.Layer {
	return &imagetest.Layer{Files: []imagetest.File{{Name: at, Mode: mode, From: s.t.path(path.Base(at))}}}
}

// page is what tells the images kitten and nautilus apart.
func (s *shelf) page(name string) *imagetest.Layer {
	html := filepath.Join(s.t.sources, "test/images", name, "html")
	return &imagetest.Layer{Files: []imagetest.File{
		{Name: "data.json", From: filepath.Join(html, "data.json")}, {Name: name + ".jpg", From: filepath.Join(html, name+".jpg")},
	}}
}

// pause waits until it is asked to end: the image's own is written in C.
func (s *shelf) pause(tag string) imagetest.Recipe {
	script := &imagetest.Layer{Files: []imagetest.File{{Name: "pause", Mode: 0o755, Body: "#!/bin/sh\ntrap 'exit 0' INT TERM\nsleep infinity &\nwait\n"}}}
	return s.of(tag, v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"}, script)
}

// holdRegistry lays an image out where agnhost's own registry, which some specs pull from, looks for it.
func (s *shelf) holdRegistry(name, tag string, img v1.Image) error {
	files, err := imageFiles(img)
	if err != nil {
		return fmt.Errorf("lay out image %s: %w", name, err)
	}
	root := "var/registry/" + name
	for _, f := range files {
		at := fmt.Sprintf("%s/%s/sha256/%s/%s/data", root, f.kind, f.digest.Hex[:2], f.digest.Hex)
		s.agnhost.Files = append(s.agnhost.Files, imagetest.File{Name: at, Body: string(f.body)})
		if f.kind == "manifests" {
			s.agnhost.Files = append(s.agnhost.Files, imagetest.File{Name: root + "/manifests/" + tag, Body: f.digest.String()})
		}
	}
	return nil
}
