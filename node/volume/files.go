package volume

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stave-run/stave/node/plan"
)

// dataLink is Kubernetes' name of the link to the present content of a volume.
const dataLink = "..data"

// WriteFiles makes the files of a volume these: a new directory beside the old one, and one link turned over to it, so
// that a reader sees either all of the old content or all of the new. The same content again changes nothing. group, when
// not nil, gets the files and may read them.
func WriteFiles(dir string, files []plan.File, group *int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	present, _ := os.Readlink(filepath.Join(dir, dataLink))
	if present == "" || !same(filepath.Join(dir, present), files) {
		var err error
		if present, err = turnOver(dir, files, group); err != nil {
			return err
		}
	}
	// Also where nothing has changed: who turned the link may not have lived to this.
	if err := linkNames(dir, files); err != nil {
		return err
	}
	return sweep(dir, present)
}

// turnOver writes the content anew and turns the link to it.
func turnOver(dir string, files []plan.File, group *int64) (present string, err error) {
	next, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return "", err
	}
	if err = fill(next, files); err == nil {
		err = own(next, group, false)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(next))
	}
	present = filepath.Base(next)
	return present, turn(dir, present)
}

// WriteSecrets is WriteFiles on a file system in memory, so that no disk ever holds
// the content.
func WriteSecrets(dir string, files []plan.File, group *int64) error {
	if err := mountMemory(dir, "mode=0755"); err != nil {
		return err
	}
	return WriteFiles(dir, files, group)
}

// clean is a file's path below its volume: dots cannot lead out of it.
func clean(f plan.File) string { return filepath.Clean("/" + f.Path)[1:] }

// same tells whether a directory holds exactly these files.
func same(dir string, files []plan.File) bool {
	want := map[string]plan.File{}
	for _, f := range files {
		want[clean(f)] = f
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		f, ok := want[name]
		have, err := os.ReadFile(path)
		if err != nil || !ok || !bytes.Equal(have, f.Data) {
			return errors.Join(err, os.ErrInvalid)
		}
		delete(want, name)
		return nil
	})
	return err == nil && len(want) == 0
}

func turn(dir, next string) error {
	link := filepath.Join(dir, dataLink)
	tmp := link + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(next, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}

func fill(dir string, files []plan.File) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, clean(f))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Data, os.FileMode(f.Mode)); err != nil {
			return err
		}
		if err := os.Chmod(path, os.FileMode(f.Mode)); err != nil {
			return err
		}
		if f.User != nil {
			if err := os.Chown(path, int(*f.User), -1); err != nil {
				return fmt.Errorf("give %s to user %d: %w", path, *f.User, err)
			}
		}
	}
	return nil
}

// linkNames makes the names by which people know the files, and removes those whose file is gone.
func linkNames(dir string, files []plan.File) error {
	want := map[string]bool{}
	for _, f := range files {
		top, _, _ := strings.Cut(clean(f), "/")
		want[top] = true
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range have {
		switch name := e.Name(); {
		case want[name]:
			delete(want, name)
		case !strings.HasPrefix(name, ".."):
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name := range want {
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes earlier contents, those of a write that a crash cut off too.
func sweep(dir, present string) error {
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range have {
		if e.IsDir() && strings.HasPrefix(e.Name(), "..") && e.Name() != present {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// What a group may do in a volume: read, write where the volume can be written, and enter directories, whose new files
// stay the group's.
const (
	groupReads = 0o440
	groupAll   = 0o660
	groupDir   = 0o110
)

// own gives everything in a directory to a group, as Kubernetes does for fsGroup.
func own(dir string, group *int64, writable bool) error {
	if group == nil {
		return nil
	}
	more := os.FileMode(groupReads)
	if writable {
		more = groupAll
	}
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, int(*group)); err != nil {
			return fmt.Errorf("give %s to group %d: %w", path, *group, err)
		}
		fi, err := d.Info()
		if err != nil || fi.Mode()&os.ModeSymlink != 0 {
			return err
		}
		mode := fi.Mode() | more
		if d.IsDir() {
			mode |= groupDir | os.ModeSetgid
		}
		return os.Chmod(path, mode)
	})
}
