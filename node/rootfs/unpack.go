package rootfs

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say how Unpack makes files.
type Options struct {
	// Into is the name that the archive's content takes when the path is a directory that exists.
	Into string
	// Plain gives files the owner and the mode that a program of the container would give them: that of the archive
	// without the rights of others to write, and without set-user-id bits.
	Plain bool
	// Chown gives files the archive's owner; only who has the rights of root can.
	Chown bool
}

// Unpack writes an archive as Pack makes it to a path whose directory exists. A file appears under its name when all of it
// is there, in place of what had that name before.
func (r Root) Unpack(name string, in io.Reader, o Options) error {
	if dir, err := r.open(name, true, unix.O_DIRECTORY); err == nil {
		dir.Close()
		name = path.Join(name, o.Into)
	} else if strings.HasSuffix(name, "/") {
		return err
	}
	archive := tar.NewReader(in)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := r.entry(path.Join("/", name, path.Join("/", h.Name)), h, archive, o); err != nil {
			return err
		}
	}
}

// entry makes one file, directory or link.
func (r Root) entry(name string, h *tar.Header, in io.Reader, o Options) error {
	parent, err := r.open(path.Dir(name), true, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer parent.Close()
	base := path.Base(name)
	if base == "/" {
		return nil // the root is there
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = makeDir(parent, base, h, o)
	case tar.TypeReg:
		err = makeFile(parent, base, h, in, o)
	case tar.TypeSymlink:
		err = makeLink(parent, base, h, o)
	default:
		err = fmt.Errorf("an archive entry of type %q cannot be copied", h.Typeflag)
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return nil
}

func makeDir(parent *os.File, base string, h *tar.Header, o Options) error {
	mode := uint32(h.Mode) & 0o7777
	if o.Plain {
		mode &= 0o755
	}
	err := unix.Mkdirat(int(parent.Fd()), base, mode)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return err
	}
	fd, err := unix.Openat(int(parent.Fd()), base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return dress(fd, h, mode, o)
}

// dress sets owner and mode; the owner first, because that takes set-user-id bits away.
func dress(fd int, h *tar.Header, mode uint32, o Options) error {
	if o.Chown && !o.Plain {
		if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	return unix.Fchmod(fd, mode)
}

func makeLink(parent *os.File, base string, h *tar.Header, o Options) error {
	err := unix.Symlinkat(h.Linkname, int(parent.Fd()), base)
	if errors.Is(err, unix.EEXIST) {
		if err := unix.Unlinkat(int(parent.Fd()), base, 0); err != nil {
			return err
		}
		err = unix.Symlinkat(h.Linkname, int(parent.Fd()), base)
	}
	if err == nil && o.Chown && !o.Plain {
		err = unix.Fchownat(int(parent.Fd()), base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	return err
}

// makeFile writes beside the name and renames. What is mounted under the name cannot be replaced: that is overwritten.
func makeFile(parent *os.File, base string, h *tar.Header, in io.Reader, o Options) error {
	var st unix.Stat_t
	if unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			return unix.EISDIR
		case unix.S_IFREG:
			if mounted(parent, base) {
				return overwrite(parent, base, in)
			}
		}
	}
	mode := uint32(h.Mode) & 0o7777
	if o.Plain {
		mode &= 0o755
	}
	beside := ".stave-cp-" + rand.Text()
	fd, err := unix.Openat(int(parent.Fd()), beside, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), beside)
	_, err = io.Copy(f, in)
	err = errors.Join(err, dress(fd, h, mode, o))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = unix.Renameat(int(parent.Fd()), beside, int(parent.Fd()), base)
	}
	if err != nil {
		_ = unix.Unlinkat(int(parent.Fd()), beside, 0) // the first error is what counts
	}
	return err
}

// mounted tells whether a file is a mount of its own, as those of subPath and /etc/hosts are.
func mounted(parent *os.File, base string) bool {
	var dir, file unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH
	if unix.Statx(int(parent.Fd()), "", flags, unix.STATX_MNT_ID, &dir) != nil || unix.Statx(int(parent.Fd()), base, flags, unix.STATX_MNT_ID, &file) != nil {
		return false
	}
	return dir.Mnt_id != file.Mnt_id
}

func overwrite(parent *os.File, base string, in io.Reader) error {
	fd, err := unix.Openat(int(parent.Fd()), base, unix.O_WRONLY|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Close())
}
