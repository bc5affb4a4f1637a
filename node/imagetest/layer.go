package imagetest

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// layer writes the tar of one image layer. Owners, times and the order of entries are fixed, so that
// the same packages give the same digest everywhere. The first entry of a path wins.
type layer struct {
	w    *tar.Writer
	seen map[string]bool
}

func newLayer(w io.Writer) *layer {
	return &layer{w: tar.NewWriter(w), seen: map[string]bool{".": true}}
}

// merged maps the split folders of older packages into /usr, where newer ones have them: the layer
// has links in their place.
var merged = []string{"bin", "sbin", "lib", "lib64"}

func place(name string) string {
	name = strings.Trim(path.Clean("/"+name), "/")
	for _, dir := range merged {
		if strings.HasPrefix(name, dir+"/") {
			return "usr/" + name
		}
	}
	return name
}

// add writes one entry and, before it, the folders above it.
func (l *layer) add(h tar.Header, body io.Reader) error {
	name := place(h.Name)
	if name == "" || l.seen[name] {
		return nil
	}
	if dir := path.Dir(name); !l.seen[dir] {
		if err := l.dir(dir, 0o755); err != nil {
			return err
		}
	}
	l.seen[name] = true
	if h.Typeflag == tar.TypeLink {
		h.Linkname = place(h.Linkname)
	}
	clean := tar.Header{
		Typeflag: h.Typeflag, Name: name, Linkname: h.Linkname, Size: h.Size, Mode: h.Mode,
		Uid: h.Uid, Gid: h.Gid, ModTime: time.Unix(0, 0),
	}
	if h.Typeflag == tar.TypeDir {
		clean.Name += "/"
	}
	if err := l.w.WriteHeader(&clean); err != nil {
		return fmt.Errorf("write entry %s: %w", name, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	if _, err := io.Copy(l.w, body); err != nil {
		return fmt.Errorf("write file %s: %w", name, err)
	}
	return nil
}

func (l *layer) dir(name string, mode int64) error {
	return l.add(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}, nil)
}

func (l *layer) file(name, body string) error { return l.text(name, 0o644, body) }

func (l *layer) text(name string, mode int64, body string) error {
	return l.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(body))}, strings.NewReader(body))
}

func (l *layer) link(name, target string) error {
	return l.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// copied adds a file of this machine.
func (l *layer) copied(name string, mode int64, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	at, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return l.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: at.Size()}, f)
}

// packages adds those files of the packages that keep wants; it is asked with the place in the image.
func (l *layer) packages(ctx context.Context, files []string, keep func(name string) bool) error {
	for _, file := range files {
		err := unpack(ctx, file, func(h *tar.Header, body io.Reader) error {
			if h.Typeflag == tar.TypeDir || !keep(place(h.Name)) {
				return nil
			}
			return l.add(*h, body)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) close() error {
	if err := l.w.Close(); err != nil {
		return fmt.Errorf("close layer: %w", err)
	}
	return nil
}
