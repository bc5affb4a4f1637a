package guesttest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stave-run/stave/node/imagetest"
)

// kernelPackage is the newest kernel of the Debian release, in the form that lacks drivers for real hardware.
const kernelPackage = "linux-image-cloud-amd64"

// tools are the packages that a guest's disk is made of, beside the libraries that they need.
var tools = []string{"busybox-static", "coreutils", "dash", "dpkg", "findutils", "grep", "hostname", "iproute2", "kmod", "libc-bin", "mount", "procps", "runc", "sed", "tar",
	"util-linux", "ca-certificates"}

// bootModules are what the initial RAM disk needs for the guest's disk.
var bootModules = []string{"virtio_pci", "virtio_blk", "ext4"}

// The scripts of the guest's first processes.
var (
	//go:embed initrd.sh
	initrdScript string
	//go:embed init.sh
	initScript string
)

// Program is a static test binary and what it is started with.
type Program struct {
	// Name is what its results are told under; Binary its file here, Dir the package's directory, whose testdata goes along.
	Name, Binary, Dir string
	// Args are its arguments, as a shell reads them.
	Args string
}

// Guest is a virtual machine to be made.
type Guest struct {
	// Cgroups is "unified", cgroup2 alone, or "hybrid", version 1 with a cgroup2 beside it.
	Cgroups  string
	Programs []Program
	// Files are copied to the disk: from → to.
	Files map[string]string
	// Cache is where packages are kept between runs; the disk is made below it and removed again.
	Cache string
}

// disk is what was made for one run of a guest.
type disk struct{ dir, kernel, initrd, image string }

func (d disk) remove() error { return os.RemoveAll(d.dir) }

// build makes kernel, RAM disk and disk.
func (g Guest) build(ctx context.Context) (disk, error) {
	debs := filepath.Join(g.Cache, "debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return disk{}, fmt.Errorf("build guest: %w", err)
	}
	packages, err := imagetest.Packages(ctx, debs, wanted, append([]string{kernelPackage}, tools...)...)
	if err != nil {
		return disk{}, fmt.Errorf("build guest: %w", err)
	}
	dir, err := os.MkdirTemp(g.Cache, "guest-")
	if err != nil {
		return disk{}, fmt.Errorf("build guest: %w", err)
	}
	d := disk{dir: dir, initrd: filepath.Join(dir, "initrd"), image: filepath.Join(dir, "disk")}
	if err := g.fill(ctx, &d, packages); err != nil {
		return disk{}, errors.Join(fmt.Errorf("build guest: %w", err), d.remove())
	}
	return d, nil
}

// wanted is which dependencies go along: libraries, and the kernel that the first package only names.
func wanted(name string) bool {
	return strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "zlib") || strings.HasPrefix(name, "linux-image-") || name == "openssl"
}

func (g Guest) fill(ctx context.Context, d *disk, packages []string) error {
	root := filepath.Join(d.dir, "root")
	for _, p := range packages {
		if err := run(ctx, "dpkg-deb", "-x", p, root); err != nil {
			return err
		}
	}
	release, err := kernelRelease(root)
	if err != nil {
		return err
	}
	d.kernel = filepath.Join(d.dir, "vmlinuz")
	if err := os.Rename(filepath.Join(root, "boot", "vmlinuz-"+release), d.kernel); err != nil {
		return err
	}
	// What the packages' own scripts would do, as far as it is needed.
	if err := run(ctx, "chroot", root, "/sbin/depmod", release); err != nil {
		return err
	}
	if err := g.furnish(root); err != nil {
		return err
	}
	if err := makeInitrd(ctx, root, release, d); err != nil {
		return err
	}
	return run(ctx, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, d.image, "4G")
}

func kernelRelease(root string) (string, error) {
	found, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("find the kernel: %d in the packages", len(found))
	}
	return strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-"), nil
}

// furnish puts everything of ours on the disk.
func (g Guest) furnish(root string) error {
	var plan strings.Builder
	errs := []error{os.RemoveAll(filepath.Join(root, "boot")), os.RemoveAll(filepath.Join(root, "usr/share/doc")), os.RemoveAll(filepath.Join(root, "usr/share/locale"))}
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "root", "etc", "var/lib", "var/log", "guest/bin", "guest/tests"} {
		errs = append(errs, os.MkdirAll(filepath.Join(root, name), 0o755))
	}
	for _, p := range g.Programs {
		errs = append(errs, copyFile(p.Binary, filepath.Join(root, "guest/bin", p.Name), 0o755))
		tests := filepath.Join(root, "guest/tests", p.Name)
		if _, err := os.Stat(filepath.Join(p.Dir, "testdata")); err == nil {
			errs = append(errs, os.CopyFS(filepath.Join(tests, "testdata"), os.DirFS(filepath.Join(p.Dir, "testdata"))))
		}
		errs = append(errs, os.MkdirAll(tests, 0o755))
		fmt.Fprintf(&plan, "%s %s %s\n", p.Name, p.Name, p.Args)
	}
	for from, to := range g.Files {
		errs = append(errs, copyTree(from, filepath.Join(root, to)))
	}
	errs = append(errs,
		os.Chmod(filepath.Join(root, "tmp"), 0o1777|fs.ModeSticky),
		write(root, "guest/init", initScript, 0o755),
		write(root, "guest/plan", plan.String(), 0o644),
		write(root, "guest/cgroups", g.Cgroups+"\n", 0o644),
		write(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644),
		write(root, "etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644),
		write(root, "etc/hosts", "127.0.0.1 localhost guest\n", 0o644),
		write(root, "etc/machine-id", strings.Repeat("0123456789abcdef", 2)+"\n", 0o644),
		busyboxFor(root, "poweroff", "awk", "killall", "nc", "vi", "wget", "ping", "less", "which", "time"))
	if _, err := os.Lstat(filepath.Join(root, "bin/sh")); err != nil {
		errs = append(errs, os.Symlink("dash", filepath.Join(root, "bin/sh")))
	}
	return errors.Join(errs...)
}

// busyboxFor lets busybox be the tools that no package above brings.
func busyboxFor(root string, names ...string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, os.MkdirAll(filepath.Join(root, "usr/local/bin"), 0o755))
		if err := os.Symlink("/bin/busybox", filepath.Join(root, "usr/local/bin", name)); !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// makeInitrd packs busybox and the modules that the disk needs.
func makeInitrd(ctx context.Context, root, release string, d *disk) error {
	dir := filepath.Join(d.dir, "initrd.d")
	for _, name := range []string{"dev", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	modules, err := bootOrder(filepath.Join(root, "lib/modules", release))
	if err != nil {
		return err
	}
	var list strings.Builder
	errs := []error{copyFile(filepath.Join(root, "bin/busybox"), filepath.Join(dir, "busybox"), 0o755), write(dir, "init", initrdScript, 0o755)}
	for _, m := range modules {
		fmt.Fprintln(&list, filepath.Base(m))
		errs = append(errs, copyFile(filepath.Join(root, "lib/modules", release, m), filepath.Join(dir, filepath.Base(m)), 0o644))
	}
	if err := errors.Join(append(errs, write(dir, "modules", list.String(), 0o644))...); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", "find . | ./busybox cpio -o -H newc >../initrd")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pack the RAM disk: %w\n%s", err, out)
	}
	return nil
}

// bootOrder are the files of the modules for the disk, each after those that it needs. A module that is built in has none.
func bootOrder(dir string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		file, deps, _ := strings.Cut(strings.TrimSpace(line), ":")
		needs[file] = strings.Fields(deps)
	}
	var out []string
	for _, name := range bootModules {
		for file, deps := range needs {
			if strings.TrimSuffix(filepath.Base(file), ".ko") != name {
				continue
			}
			slices.Reverse(deps) // depmod names the nearest first
			for _, f := range append(deps, file) {
				if !slices.Contains(out, f) {
					out = append(out, f)
				}
			}
		}
	}
	return out, nil
}

func write(root, name, content string, mode fs.FileMode) error {
	return os.WriteFile(filepath.Join(root, name), []byte(content), mode)
}

func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return copyFile(from, to, info.Mode().Perm())
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}

func copyFile(from, to string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, mode)
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("run %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
