package imagetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Recipe says what an image is made of.
type Recipe struct {
	Tags   []string // "e2e-test-images/agnhost:2.55"; each has a digest of its own
	Layers []*Layer // the lowest first; one that several images stand on is made once
	Config v1.Config
}

// Layer is what one layer of an image holds. Of a path that it has twice the first counts, in the order of the fields.
type Layer struct {
	Files    []File
	Busybox  bool     // a shell, the usual tools, and the folders and accounts of a system
	Packages []string // programs and libraries of these Debian packages and of those that they depend on
}

// File is a file of an image: with a text, of a file outside, or a link; a folder when its name ends in a slash.
type File struct {
	Name string
	Mode int64 // 0644 when 0
	Body string
	From string // a file of this machine
	Link string // where a symbolic link leads
}

// Make returns the images by tag, from the cache folder where they lie already. Like Build, processes may call it at the
// same time.
func Make(ctx context.Context, cache string, wanted []Recipe) (map[string]v1.Image, error) {
	debs, unlock, err := open(cache)
	if err != nil {
		return nil, err
	}
	defer unlock()
	k := kitchen{debs: debs, files: map[*Layer][]string{}, made: map[*Layer]v1.Layer{}}
	key, err := k.prepare(ctx, wanted)
	if err != nil {
		return nil, err
	}
	return kept(filepath.Join(cache, "made-"+key), func() ([]recipe, error) { return k.cook(ctx, wanted) })
}

// kitchen makes layers, each once.
type kitchen struct {
	debs    string
	busybox []string // the package's file
	files   map[*Layer][]string
	made    map[*Layer]v1.Layer
}

// prepare fetches all packages. The key names the images by all that goes into them.
func (k *kitchen) prepare(ctx context.Context, wanted []Recipe) (key string, err error) {
	if k.busybox, err = fetch(ctx, k.debs, "busybox-static"); err != nil {
		return "", err
	}
	h := sha256.New()
	hashCode(h, "images.go", "layer.go", "recipe.go")
	fmt.Fprintln(h, filepath.Base(k.busybox[0]))
	for _, r := range wanted {
		for _, l := range r.Layers {
			if err := k.gather(ctx, h, l); err != nil {
				return "", err
			}
		}
		config, err := json.Marshal(r.Config)
		if err != nil {
			return "", fmt.Errorf("read config of %s: %w", r.Tags, err)
		}
		fmt.Fprintf(h, "%s %s\n", r.Tags, config)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// gather fetches a layer's packages, and makes all that the layer holds part of the key.
func (k *kitchen) gather(ctx context.Context, h io.Writer, l *Layer) error {
	if _, known := k.files[l]; !known {
		files, err := Packages(ctx, k.debs, isLibrary, l.Packages...)
		if err != nil {
			return err
		}
		k.files[l] = files
	}
	fmt.Fprintf(h, "layer %v\n", l.Busybox)
	for _, deb := range k.files[l] {
		fmt.Fprintln(h, filepath.Base(deb))
	}
	for _, f := range l.Files {
		fmt.Fprintf(h, "%q %o %q %q\n", f.Name, f.Mode, f.Body, f.Link)
		if err := copyTo(h, f.From); err != nil {
			return err
		}
	}
	return nil
}

func copyTo(w io.Writer, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read file of an image: %w", err)
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// isLibrary says which packages come with one that needs them: not those that set a system up.
func isLibrary(name string) bool {
	return strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "zlib") || strings.HasSuffix(name, "-libs")
}

func (k *kitchen) cook(ctx context.Context, wanted []Recipe) ([]recipe, error) {
	var out []recipe
	for _, r := range wanted {
		one := recipe{tags: r.Tags, config: r.Config}
		for _, l := range r.Layers {
			if k.made[l] == nil {
				made, err := makeLayer(ctx, k.files[l], func(ctx context.Context, to *layer, debs []string) error { return k.fill(ctx, to, l, debs) })
				if err != nil {
					return nil, fmt.Errorf("make layer of %s: %w", r.Tags[0], err)
				}
				k.made[l] = made
			}
			one.layers = append(one.layers, k.made[l])
		}
		out = append(out, one)
	}
	return out, nil
}

func (k *kitchen) fill(ctx context.Context, to *layer, l *Layer, debs []string) error {
	var errs []error
	for _, f := range l.Files {
		errs = append(errs, to.one(f))
	}
	if l.Busybox {
		errs = append(errs, busyboxLayer(ctx, to, k.busybox))
	}
	return errors.Join(append(errs, to.packages(ctx, debs, keepProgram))...)
}

func (l *layer) one(f File) error {
	mode := f.Mode
	if mode == 0 {
		mode = 0o644
	}
	switch {
	case strings.HasSuffix(f.Name, "/"):
		return l.dir(f.Name, mode)
	case f.Link != "":
		return l.link(f.Name, f.Link)
	case f.From != "":
		return l.copied(f.Name, mode, f.From)
	}
	return l.text(f.Name, mode, f.Body)
}

// keepProgram picks programs, and libraries as keepNginx does.
func keepProgram(name string) bool {
	dir, _ := filepath.Split(name)
	return dir == "usr/bin/" || dir == "usr/sbin/" || keepNginx(name)
}
