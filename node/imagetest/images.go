package imagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The tags that are served, as docker.io names them.
var (
	busyboxTags = []string{"library/busybox:latest", "library/busybox:1.28", "library/busybox:stable"}
	nginxTags   = []string{"library/nginx:latest", "library/nginx:1.14", "library/nginx:alpine", "library/nginx:stable"}
)

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// The accounts of the official images: nginx's workers run as uid 101.
const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:101:nginx:/nonexistent:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	group  = "root:x:0:\nnginx:x:101:\nnogroup:x:65534:\n"
)

// nginxConf and site are laid out as in the official image, because people mount their own files
// over these paths.
const (
	nginxConf = `user  nginx;
worker_processes  auto;

error_log  /var/log/nginx/error.log notice;
pid        /run/nginx.pid;

events {
    worker_connections  1024;
}

http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;
    access_log  /var/log/nginx/access.log  combined;
    sendfile        on;
    keepalive_timeout  65;
    include /etc/nginx/conf.d/*.conf;
}
`
	site = `server {
    listen       80;
    server_name  localhost;

    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }
}
`
)

// recipe is what an image is made of.
type recipe struct {
	tags   []string
	layers []v1.Layer
	config v1.Config
}

// sources are the package files that the images are made of, in a fixed order.
type sources struct{ busybox, nginx []string }

func fetchSources(ctx context.Context, dir string) (sources, error) {
	busybox, err := fetch(ctx, dir, "busybox-static")
	if err != nil {
		return sources{}, err
	}
	nginx, err := Packages(ctx, dir, func(name string) bool {
		return name == "nginx-common" || strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "zlib")
	}, "nginx")
	return sources{busybox: busybox, nginx: nginx}, err
}

// recipes makes the layers and names what stands on them.
func recipes(ctx context.Context, from sources) ([]recipe, error) {
	base, err := makeLayer(ctx, from.busybox, busyboxLayer)
	if err != nil {
		return nil, fmt.Errorf("make busybox layer: %w", err)
	}
	web, err := makeLayer(ctx, from.nginx, nginxLayer)
	if err != nil {
		return nil, fmt.Errorf("make nginx layer: %w", err)
	}
	return []recipe{
		{busyboxTags, []v1.Layer{base}, v1.Config{Cmd: []string{"sh"}, Env: []string{searchPath}}},
		{nginxTags, []v1.Layer{base, web}, v1.Config{
			Cmd: []string{"nginx", "-g", "daemon off;"}, Env: []string{searchPath}, StopSignal: "SIGQUIT",
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
		}},
	}, nil
}

func makeLayer(ctx context.Context, files []string, fill func(context.Context, *layer, []string) error) (v1.Layer, error) {
	var buf bytes.Buffer
	l := newLayer(&buf)
	if err := errors.Join(fill(ctx, l, files), l.close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

func busyboxLayer(ctx context.Context, l *layer, files []string) error {
	var errs []error
	for _, dir := range merged {
		errs = append(errs, l.dir("usr/"+dir, 0o755), l.link(dir, "usr/"+dir))
	}
	errs = append(errs, l.packages(ctx, files, func(name string) bool { return path.Base(name) == "busybox" && path.Base(path.Dir(name)) == "bin" }))
	applets, err := appletNames(ctx, files[0])
	errs = append(errs, err)
	for _, name := range applets {
		errs = append(errs, l.link("usr/bin/"+name, "busybox"))
	}
	for _, name := range []string{"proc", "sys", "dev", "run", "etc", "home", "var/log", "var/tmp"} {
		errs = append(errs, l.dir(name, 0o755))
	}
	errs = append(errs,
		l.dir("root", 0o700), l.dir("tmp", 0o1777), l.link("var/run", "/run"),
		l.file("etc/passwd", passwd), l.file("etc/group", group),
		l.file("etc/nsswitch.conf", "hosts: files dns\n"))
	return errors.Join(errs...)
}

// appletNames asks the binary itself what it can do: which applets are built in differs by release.
func appletNames(ctx context.Context, file string) ([]string, error) {
	dir, remove, err := scratch()
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := run(ctx, dir, "dpkg-deb", "-x", file, dir); err != nil {
		return nil, err
	}
	var out []byte
	for _, name := range []string{"bin/busybox", "usr/bin/busybox"} {
		if out, err = exec.CommandContext(ctx, path.Join(dir, name), "--list").Output(); err == nil {
			return strings.Fields(string(out)), nil
		}
	}
	return nil, fmt.Errorf("list applets of busybox: %w", err)
}

func nginxLayer(ctx context.Context, l *layer, files []string) error {
	return errors.Join(
		l.file("etc/nginx/nginx.conf", nginxConf),
		l.file("etc/nginx/conf.d/default.conf", site),
		l.packages(ctx, files, keepNginx),
		l.dir("var/lib/nginx", 0o755), l.dir("var/log/nginx", 0o755),
		// As in the official image: the container's output is the log.
		l.link("var/log/nginx/access.log", "/dev/stdout"), l.link("var/log/nginx/error.log", "/dev/stderr"))
}

// keepNginx picks the server, its page and configuration, and the shared libraries that lie directly
// in a library folder; deeper ones (character sets, crypto engines) are ten times the rest.
func keepNginx(name string) bool {
	dir, base := path.Split(name)
	switch {
	case name == "usr/sbin/nginx", name == "usr/share/nginx/html/index.html", dir == "etc/nginx/":
		return true
	case !strings.Contains(base, ".so"):
		return false
	}
	multiarch, isLib := strings.CutPrefix(dir, "usr/lib/")
	return dir == "usr/lib64/" || isLib && strings.Count(multiarch, "/") <= 1
}

// image builds one tag's image. The tag is written into its labels: so it has a digest of its own.
func (r recipe) image(tag string) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, r.layers...)
	if err != nil {
		return nil, fmt.Errorf("append layers: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, r.config
	file.Config.Labels = map[string]string{refName: tag}
	return mutate.ConfigFile(img, file)
}
