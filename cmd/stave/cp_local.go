package main

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// packLocal writes a file or a directory of this machine as an archive whose names are relative to it.
func packLocal(from string, to io.Writer, show *transfer) error {
	w := tar.NewWriter(to)
	from, err := filepath.EvalSymlinks(from) // what was named is meant, not the link to it
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	err = filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		return packEntry(w, name, filepath.ToSlash(rel), st, show)
	})
	if err != nil {
		return fmt.Errorf("read local files: %w", err)
	}
	return w.Close()
}

// packEntry leaves out what is neither a file, a directory nor a link.
func packEntry(w *tar.Writer, name, rel string, st fs.FileInfo, show *transfer) error {
	link := ""
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		var err error
		if link, err = os.Readlink(name); err != nil {
			return err
		}
	case !st.IsDir() && !st.Mode().IsRegular():
		return nil
	}
	h, err := tar.FileInfoHeader(st, link)
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname, h.Format = rel, "", "", tar.FormatPAX
	if !st.Mode().IsRegular() {
		return w.WriteHeader(h)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(w, show.of(rel, h.Size, io.LimitReader(f, h.Size)))
	if err == nil && n < h.Size {
		err = fmt.Errorf("%s became shorter while it was read", name)
	}
	return err
}

// fetching writes an archive from a container to this machine. The archive is not trusted: nothing in it
// leads out of the directory that was named.
type fetching struct {
	from  place
	to    string
	base  string // the source's last name
	plain bool
	warn  io.Writer
	show  *transfer
}

// unpack writes a file to the name itself, or into it if it is a directory, and a directory's content into the name.
func (f fetching) unpack(in io.Reader) error {
	archive := tar.NewReader(in)
	h, err := archive.Next()
	if errors.Is(err, io.EOF) {
		return nil // the agent says why
	}
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	if h.Typeflag == tar.TypeReg {
		if st, err := os.Stat(f.to); err == nil && st.IsDir() {
			f.to = filepath.Join(f.to, f.base)
		}
		return f.single(h, archive)
	}
	if err := os.MkdirAll(f.to, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	root, err := os.OpenRoot(f.to)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer root.Close()
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := f.entry(root, h, archive); err != nil {
			return err
		}
	}
}

// single writes one file; a device or a pipe such as /dev/stdout is written to, not replaced.
func (f fetching) single(h *tar.Header, in io.Reader) error {
	if st, err := os.Stat(f.to); err == nil && !st.Mode().IsRegular() {
		out, err := os.OpenFile(f.to, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("open destination: %w", err)
		}
		_, err = io.Copy(out, f.show.of(f.base, h.Size, in))
		return errors.Join(err, out.Close())
	}
	root, err := os.OpenRoot(filepath.Dir(f.to))
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer root.Close()
	return f.file(root, filepath.Base(f.to), h, in)
}

func (f fetching) entry(root *os.Root, h *tar.Header, in io.Reader) error {
	name := path.Clean(h.Name)
	if !filepath.IsLocal(name) {
		fmt.Fprintf(f.warn, "warning: file %q is outside target destination, skipping\n", h.Name)
		return nil
	}
	switch h.Typeflag {
	case tar.TypeDir:
		mode := fs.FileMode(h.Mode).Perm() | 0o700 // what follows must go into it
		if f.plain {
			mode = 0o755
		}
		if err := root.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make directory: %w", err)
		}
		return nil
	case tar.TypeReg:
		return f.file(root, name, h, in)
	case tar.TypeSymlink:
		fmt.Fprintf(f.warn, "warning: skipping symlink: %q -> %q\n", path.Join(f.from.path, name), h.Linkname)
	}
	return nil
}

// file writes beside the name and renames: what was there before stays until all of the new is.
func (f fetching) file(root *os.Root, name string, h *tar.Header, in io.Reader) error {
	if st, err := root.Lstat(name); err == nil && st.IsDir() {
		return fmt.Errorf("write %s: is a directory", filepath.Join(root.Name(), name))
	}
	mode := fs.FileMode(h.Mode).Perm()
	if f.plain {
		mode = 0o644
	}
	beside := path.Join(path.Dir(name), ".stave-cp-"+rand.Text())
	out, err := root.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(root.Name(), name), err)
	}
	_, err = io.Copy(out, f.show.of(strings.TrimPrefix(name, "./"), h.Size, in))
	err = errors.Join(err, out.Chmod(mode), out.Close())
	if err == nil {
		err = root.Rename(beside, name)
	}
	if err != nil {
		_ = root.Remove(beside) // the first error is what counts
		return fmt.Errorf("write %s: %w", filepath.Join(root.Name(), name), err)
	}
	return nil
}
