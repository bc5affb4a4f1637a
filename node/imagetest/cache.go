package imagetest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// refName is the annotation by which an OCI layout names its images.
const refName = "org.opencontainers.image.ref.name"

// The code that makes the images is part of their key in the cache: no version to forget to raise.
//
//go:embed images.go layer.go recipe.go
var code embed.FS

// DefaultCache is where packages and images are kept: under XDG_CACHE_HOME or ~/.cache.
func DefaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil { // no home, as in a bare service: a place that may vanish is better than none
		dir = os.TempDir()
	}
	return filepath.Join(dir, "stave", "images")
}

// Build returns the images by tag ("library/nginx:alpine"), from the cache folder where they lie
// already. Processes may call it at the same time: one builds, the others wait.
func Build(ctx context.Context, cache string) (map[string]v1.Image, error) {
	debs, unlock, err := open(cache)
	if err != nil {
		return nil, err
	}
	defer unlock()
	from, err := fetchSources(ctx, debs)
	if err != nil {
		return nil, err
	}
	return kept(filepath.Join(cache, "built-"+from.key()), func() ([]recipe, error) { return recipes(ctx, from) })
}

// kept reads the images that lie in dir, which are made first where there are none.
func kept(dir string, cook func() ([]recipe, error)) (map[string]v1.Image, error) {
	if _, err := os.Stat(dir); err != nil {
		made, err := cook()
		if err == nil {
			err = write(dir, made)
		}
		if err != nil {
			return nil, fmt.Errorf("build images: %w", err)
		}
	}
	return read(dir)
}

// open locks a cache, and says where the packages lie in it.
func open(cache string) (debs string, unlock func(), err error) {
	debs = filepath.Join(cache, "debs-"+runtime.GOARCH)
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return "", nil, fmt.Errorf("create cache: %w", err)
	}
	unlock, err = lock(filepath.Join(cache, "lock"))
	return debs, unlock, err
}

// lock holds an exclusive lock on a file; the kernel lets go of it also when the process is killed.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	return func() { f.Close() }, nil
}

// key names the result of building from these packages with this code. A package's file name holds
// its version and architecture, which Debian never gives to other bytes.
func (s sources) key() string {
	h := sha256.New()
	for _, file := range append(append([]string{}, s.busybox...), s.nginx...) {
		fmt.Fprintln(h, filepath.Base(file))
	}
	hashCode(h, "images.go", "layer.go")
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// hashCode makes files of this package part of a key.
func hashCode(h io.Writer, names ...string) {
	for _, name := range names {
		body, err := code.ReadFile(name)
		if err != nil {
			panic("imagetest: embedded file is gone: " + name) // only a broken build gets here
		}
		h.Write(body)
	}
}

// write builds every image into an OCI layout, which appears under its name whole or not at all.
func write(dir string, made []recipe) error {
	part, err := os.MkdirTemp(filepath.Dir(dir), "part-")
	if err != nil {
		return fmt.Errorf("create layout: %w", err)
	}
	defer os.RemoveAll(part)
	out, err := layout.Write(part, empty.Index)
	if err != nil {
		return fmt.Errorf("create layout: %w", err)
	}
	for _, r := range made {
		for _, tag := range r.tags {
			img, err := r.image(tag)
			if err != nil {
				return fmt.Errorf("make %s: %w", tag, err)
			}
			if err := out.AppendImage(img, layout.WithAnnotations(map[string]string{refName: tag})); err != nil {
				return fmt.Errorf("write %s: %w", tag, err)
			}
		}
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return fmt.Errorf("open layout to readers: %w", err)
	}
	return os.Rename(part, dir)
}

func read(dir string) (map[string]v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("read images: %w", err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read image index: %w", err)
	}
	images := map[string]v1.Image{}
	for _, d := range list.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("read image %s: %w", d.Digest, err)
		}
		images[d.Annotations[refName]] = img
	}
	return images, nil
}

func scratch() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "imagetest-")
	if err != nil {
		return "", nil, fmt.Errorf("create scratch folder: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}
