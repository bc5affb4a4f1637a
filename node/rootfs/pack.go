package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pack writes what a path names as an archive: a directory with all below it, or one file. The names in it are relative to
// the path, which itself is ".". Devices, sockets and pipes are left out.
func (r Root) Pack(name string, to io.Writer) error {
	top, err := r.open(name, true, 0)
	if err != nil {
		return err
	}
	defer top.Close()
	w := tar.NewWriter(to)
	if err := pack(w, top, "."); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}

func pack(w *tar.Writer, f *os.File, name string) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", f.Name(), err)
	}
	link := ""
	if st.Mode()&fs.ModeSymlink != 0 {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(f.Fd()), "", buf)
		if err != nil {
			return fmt.Errorf("read link %s: %w", f.Name(), err)
		}
		link = string(buf[:n])
	}
	if !st.IsDir() && !st.Mode().IsRegular() && link == "" {
		if name == "." {
			return &fs.PathError{Op: "copy", Path: f.Name(), Err: errors.New("neither a file nor a directory")}
		}
		return nil
	}
	h, err := header(st, name, link)
	if err != nil {
		return err
	}
	if link != "" {
		return w.WriteHeader(h)
	}
	in, err := reopen(f, st)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if st.IsDir() {
		return packDir(w, in, f, name)
	}
	return packFile(w, in, h.Size)
}

func header(st fs.FileInfo, name, link string) (*tar.Header, error) {
	h, err := tar.FileInfoHeader(st, link)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", st.Name(), err)
	}
	h.Name, h.Uname, h.Gname = name, "", "" // the names of users are the host's
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		h.Uid, h.Gid = int(s.Uid), int(s.Gid)
	}
	h.Format = tar.FormatPAX
	return h, nil
}

// packDir goes through a directory in pieces: it may hold any number of names.
func packDir(w *tar.Writer, in, dir *os.File, name string) error {
	for {
		names, err := in.Readdirnames(256)
		for _, n := range names {
			if err := packChild(w, dir, n, path.Join(name, n)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read directory: %w", err)
		}
	}
}

func packChild(w *tar.Writer, dir *os.File, n, name string) error {
	f, err := child(dir, n)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return pack(w, f, name)
}

// packFile writes exactly as much as was announced: a file that grows meanwhile is cut, one that shrinks is filled with zeros.
func packFile(w *tar.Writer, in io.Reader, size int64) error {
	n, err := io.Copy(w, io.LimitReader(in, size))
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	zeros := make([]byte, 32<<10)
	for n < size {
		k, err := w.Write(zeros[:min(int64(len(zeros)), size-n)])
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		n += int64(k)
	}
	return nil
}
