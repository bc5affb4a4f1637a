package imagetest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// fetch returns the .deb files of the named packages, from dir where they lie already. It runs
// apt-get update and tries once more when the download fails: the lists of a fresh machine are
// absent, those of an old one name files that the mirror dropped.
func fetch(ctx context.Context, dir string, names ...string) ([]string, error) {
	var missing []string
	for _, name := range names {
		if found, err := packageFile(dir, name); err != nil {
			return nil, err
		} else if found == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		if first := download(ctx, dir, missing); first != nil {
			if err := run(ctx, dir, "apt-get", "-q", "update"); err != nil {
				return nil, errors.Join(first, err)
			}
			if err := download(ctx, dir, missing); err != nil {
				return nil, err
			}
		}
	}
	files := make([]string, len(names))
	for i, name := range names {
		file, err := packageFile(dir, name)
		if err != nil {
			return nil, err
		}
		if file == "" {
			return nil, fmt.Errorf("download package %s: apt-get left no file in %s", name, dir)
		}
		files[i] = file
	}
	return files, nil
}

// download gets packages into a directory of their own first: an interrupted apt-get must not leave
// half a file where packageFile finds it.
func download(ctx context.Context, dir string, names []string) error {
	part, err := os.MkdirTemp(dir, "part-")
	if err != nil {
		return fmt.Errorf("create download folder: %w", err)
	}
	defer os.RemoveAll(part)
	// apt drops to the user _apt for downloads, who may not write here.
	args := append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, names...)
	if err := run(ctx, part, "apt-get", args...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(part, "*.deb"))
	if err != nil {
		return fmt.Errorf("list downloads: %w", err)
	}
	for _, file := range files {
		if err := os.Rename(file, filepath.Join(dir, filepath.Base(file))); err != nil {
			return fmt.Errorf("keep package: %w", err)
		}
	}
	return nil
}

// packageFile finds NAME_VERSION_ARCH.deb in dir; the empty string when there is none.
func packageFile(dir, name string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(files) == 0 {
		return "", err
	}
	return slices.Max(files), nil
}

// Packages fetches packages into a folder, where they lie already if they were fetched before, and those that they
// depend on, as far as wanted says so; in a fixed order. Reading the names from the packages keeps this true from one
// Debian release to the next.
func Packages(ctx context.Context, dir string, wanted func(name string) bool, roots ...string) ([]string, error) {
	names, files := slices.Clone(roots), []string{}
	for i := 0; i < len(names); i++ {
		file, err := fetch(ctx, dir, names[i])
		if err != nil {
			return nil, err
		}
		files = append(files, file...)
		depends, err := exec.CommandContext(ctx, "dpkg-deb", "--show", "--showformat=${Pre-Depends},${Depends}", file[0]).Output()
		if err != nil {
			return nil, fmt.Errorf("read dependencies of %s: %w", names[i], err)
		}
		for _, name := range dependencies(string(depends)) {
			if wanted(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return files, nil
}

// dependencies reads the names from a Depends field: "libc6 (>= 2.34), debconf | debconf-2.0".
// Of alternatives it takes the first.
func dependencies(field string) []string {
	var names []string
	for _, one := range strings.Split(field, ",") {
		if words := strings.Fields(one); len(words) > 0 {
			name, _, _ := strings.Cut(words[0], ":")
			names = append(names, name)
		}
	}
	return names
}

// unpack calls visit for every entry of a package's file system, in the package's order.
func unpack(ctx context.Context, file string, visit func(*tar.Header, io.Reader) error) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start dpkg-deb: %w", err)
	}
	err = walkTar(tar.NewReader(out), visit)
	// Drained, or dpkg-deb would wait for a reader forever and Wait for it.
	_, drained := io.Copy(io.Discard, out)
	if err := errors.Join(err, drained, cmd.Wait()); err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(file), err)
	}
	return nil
}

func walkTar(r *tar.Reader, visit func(*tar.Header, io.Reader) error) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(h, r); err != nil {
			return err
		}
	}
}

// run runs a command in dir; what it printed becomes part of the error.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
