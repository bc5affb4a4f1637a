package volume

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/node/plan"
)

func read(dir, name string) string { b, _ := os.ReadFile(filepath.Join(dir, name)); return string(b) }

func file(path, data string, mode uint32) plan.File {
	return plan.File{Path: path, Data: []byte(data), Mode: mode}
}

func TestFilesAreTurnedOverAtOnce(t *testing.T) {
	dir := t.TempDir()
	first := []plan.File{file("a", "1", 0o644), file("sub/b", "2", 0o600)}
	write := func(files ...plan.File) string {
		t.Helper()
		if err := WriteFiles(dir, files, nil); err != nil {
			t.Fatal(err)
		}
		at, _ := os.Readlink(filepath.Join(dir, dataLink))
		return at
	}
	at := write(first...)
	if read(dir, "a") != "1" || read(dir, "sub/b") != "2" {
		t.Errorf("first: %q %q", read(dir, "a"), read(dir, "sub/b"))
	}
	if again := write(first...); again != at {
		t.Error("the same content was written again")
	}
	left := filepath.Join(dir, "..half")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	write(file("a", "3", 0o400), file("../../c", "4", 0o644))
	if fi, err := os.Stat(filepath.Join(dir, "a")); err != nil || fi.Mode() != 0o400 {
		t.Errorf("mode: %v %v", fi, err)
	}
	if read(dir, "a") != "3" || read(dir, "c") != "4" || read(dir, "sub/b") != "" {
		t.Errorf("second: %q %q %q", read(dir, "a"), read(dir, "c"), read(dir, "sub/b"))
	}
	var old [1]byte
	if _, err := held.Read(old[:]); err != nil || old[0] != '1' {
		t.Errorf("who had the old file open reads %q, %v", old, err)
	}
	if dirs, _ := filepath.Glob(filepath.Join(dir, "..[^d]*")); len(dirs) != 1 {
		t.Errorf("old content is left: %v", dirs)
	}
	write()
	if names, _ := filepath.Glob(filepath.Join(dir, "[^.]*")); len(names) != 0 {
		t.Errorf("names are left: %v", names)
	}
}

// Who writes the files may be killed, or run out of disk, between the turning of the link and the names: the next one makes
// them whole though the content is what it is to be.
func TestNamesAfterADeath(t *testing.T) {
	dir := t.TempDir()
	files := []plan.File{file("a", "1", 0o644), file("sub/b", "2", 0o600)}
	if err := WriteFiles(dir, files, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "sub"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dataLink, "old"), filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFiles(dir, files, nil); err != nil {
		t.Fatal(err)
	}
	if read(dir, "a") != "1" || read(dir, "sub/b") != "2" {
		t.Errorf("names are missing: %q %q", read(dir, "a"), read(dir, "sub/b"))
	}
	if _, err := os.Lstat(filepath.Join(dir, "old")); err == nil {
		t.Error("a name of before is left")
	}
}

func owner(t *testing.T, path string) (gid uint32, mode os.FileMode) {
	t.Helper()
	var st unix.Stat_t
	fi, err := os.Lstat(path)
	if err == nil {
		err = unix.Lstat(path, &st)
	}
	if err != nil {
		t.Fatal(err)
	}
	return st.Gid, fi.Mode()
}

func TestGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	group := int64(2000)
	dir := filepath.Join(t.TempDir(), "files")
	if err := WriteFiles(dir, []plan.File{file("sub/a", "1", 0o400), file("b", "1", 0o644)}, &group); err != nil {
		t.Fatal(err)
	}
	one, user := filepath.Join(t.TempDir(), "one"), int64(1000)
	if err := WriteFiles(one, []plan.File{{Path: "token", Data: []byte("t"), Mode: 0o600, User: &user}}, &group); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(one + "/token"); err != nil || fi.Sys().(*syscall.Stat_t).Uid != 1000 {
		t.Errorf("it is not its user's: %+v, %v", fi, err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := Directory(open, &group); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
	}{
		{one + "/token", 0o640}, {dir + "/sub/a", 0o440}, {dir + "/b", 0o644}, {dir + "/..data/sub", os.ModeDir | os.ModeSetgid | 0o755}, {open, os.ModeDir | os.ModeSetgid | 0o777},
	} {
		real, err := filepath.EvalSymlinks(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if gid, mode := owner(t, real); gid != 2000 || mode != c.mode {
			t.Errorf("%s: group %d, mode %v, want %v", c.path, gid, mode, c.mode)
		}
	}
}

func TestHostPath(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		kind corev1.HostPathType
		path string
		want string // of the error
	}{
		{corev1.HostPathUnset, "made", ""}, {corev1.HostPathUnset, "file", ""},
		{corev1.HostPathDirectory, "none", "none is not a directory"}, {corev1.HostPathDirectory, "file", "file is not a directory"}, {corev1.HostPathDirectory, "made", ""},
		{corev1.HostPathDirectoryOrCreate, "a/b", ""}, {corev1.HostPathDirectoryOrCreate, "file", "file is not a directory"},
		{corev1.HostPathFile, "file", ""}, {corev1.HostPathFile, "made", "made is not a file"}, {corev1.HostPathFile, "none", "none is not a file"},
		{corev1.HostPathFileOrCreate, "file2", ""}, {corev1.HostPathFileOrCreate, "made", "made is not a file"}, {corev1.HostPathFileOrCreate, "none/x", "no such file"},
		{corev1.HostPathSocket, "socket", ""}, {corev1.HostPathSocket, "file", "file is not a socket file"},
		{corev1.HostPathCharDev, "/dev/null", ""}, {corev1.HostPathCharDev, "file", "file is not a character device"}, {corev1.HostPathBlockDev, "/dev/null", "null is not a block device"},
	} {
		path := c.path
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		err := HostPath(&corev1.HostPathVolumeSource{Path: path, Type: &c.kind})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.kind, c.path, err, c.want)
		}
	}
	for name, isDir := range map[string]bool{"made": true, "a/b": true, "file2": false} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.IsDir() != isDir {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
}

func TestSubPathStaysInsideItsVolume(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "c", "0")
	if err := os.Chmod(dir, 0o777|os.ModeSetgid|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"out": "/etc", "up": "../../..", "in": "real", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "real/f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Unmount(target) })
	for _, bad := range []string{"/etc", "../x", "out/passwd", "out", "out/new", "up/etc", "loop", "real/../../x"} {
		if err := SubPath(dir, bad, target, true); err == nil {
			t.Errorf("%s leads out", bad)
		}
	}
	if err := SubPath(dir, "none", target, false); err == nil {
		t.Error("made in a volume that nobody writes to")
	}
	if err := SubPath(dir, "new/dir", target, true); err != nil {
		t.Fatal(err)
	}
	if _, mode := owner(t, target); mode != os.ModeDir|os.ModeSetgid|os.ModeSticky|0o777 {
		t.Errorf("made with mode %v", mode)
	}
	if err := SubPath(dir, "in/f", target, true); err != nil || read(target, "") != "x" { // and over the mount before
		t.Fatalf("%v, %q", err, read(target, ""))
	}
	if err := Unmount(target); err != nil || read(target, "") != "" || read(dir, "real/f") != "x" {
		t.Errorf("after the end: %v, %q", err, read(target, ""))
	}
}

// To take a part of a volume away leaves the host what it has mounted below it, also where mounts are shared.
func TestTheHostKeepsItsMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "part")
	inner := filepath.Join(dir, "part/inner")
	for _, path := range []string{dir, inner} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("stave", path, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
		if err := unix.Mount("", path, "", unix.MS_SHARED, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(inner, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SubPath(dir, "part", target, true); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("stave", filepath.Join(target, "inner"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if read(inner, "f") != "x" {
		t.Error("a mount in the part came to the host")
	}
	if err := Unmount(target); err != nil || read(inner, "f") != "x" {
		t.Errorf("the host lost its mount: %v", err)
	}
}

func TestMemory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir, group := filepath.Join(t.TempDir(), "m"), int64(2000)
	t.Cleanup(func() { _ = Unmount(dir) })
	for range 2 { // the second finds it
		if err := Memory(dir, 1<<20, &group); err != nil {
			t.Fatal(err)
		}
	}
	if gid, mode := owner(t, dir); gid != 2000 || mode != os.ModeDir|os.ModeSetgid|os.ModeSticky|0o777 {
		t.Errorf("group %d, mode %v", gid, mode)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 2<<20), 0o600); err == nil {
		t.Error("no bound")
	}
	group = 3000 // who mounted it did not live to give it to this one
	if err := Memory(dir, 1<<20, &group); err != nil {
		t.Fatal(err)
	}
	if gid, _ := owner(t, dir); gid != 3000 {
		t.Errorf("of group %d", gid)
	}
	if err := Unmount(dir); err != nil || isMemory(dir) {
		t.Errorf("still there: %v", err)
	}
	if err := Unmount(dir); err != nil {
		t.Error(err)
	}
}

// Somebody who reads two files of one content, again and again, never sees one of the old and one of the new.
func TestNobodySeesHalfAChange(t *testing.T) {
	dir, done := t.TempDir(), make(chan struct{})
	write := func(n int) {
		text := strings.Repeat(string(rune('a'+n%26)), 10)
		if err := WriteFiles(dir, []plan.File{file("a", text, 0o644), file("b", text, 0o644)}, nil); err != nil {
			t.Error(err)
		}
	}
	write(0)
	go func() {
		defer close(done)
		for n := range 200 {
			write(n)
		}
	}()
	for {
		at, err := os.Readlink(filepath.Join(dir, dataLink))
		if err != nil {
			t.Fatalf("for a moment there is no content: %v", err)
		}
		if a, b := read(dir, at+"/a"), read(dir, at+"/b"); a != "" && b != "" && a != b {
			t.Fatalf("a is %s, b is %s", a, b)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestSpreads(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("stave", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		how  uintptr
		both bool
		want string
	}{{unix.MS_PRIVATE, false, "not a shared or slave mount"}, {unix.MS_PRIVATE, true, "not a shared mount"}, {unix.MS_SHARED, true, ""}, {unix.MS_SHARED, false, ""}} {
		if err := unix.Mount("", dir, "", c.how, ""); err != nil {
			t.Fatal(err)
		}
		err := Spreads(sub, c.both)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%#x, both ways %v: %v", c.how, c.both, err)
		}
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	empty, err := Usage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/f"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "a/f"), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	got, err := Usage(dir)
	if grown := got - empty; err != nil || grown < 1<<20 || grown > 1<<20+64<<10 {
		t.Errorf("grown by %d bytes, %v", grown, err)
	}
	if _, err := Usage(filepath.Join(dir, "none")); err == nil {
		t.Error("what is not there has no size")
	}
}

// Who makes a directory may be killed at any moment: the next one makes it whole.
func TestKeepAfterADeath(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "claims")
	dir := filepath.Join(parent, "pvc-1")
	if err := os.MkdirAll(filepath.Join(parent, making+"pvc-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Keep(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "word"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := os.ReadDir(parent)
	if err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
	if err := os.Mkdir(unwhole(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Erase(dir); err != nil {
			t.Fatal(err)
		}
		if all, err := os.ReadDir(parent); err != nil || len(all) != 0 {
			t.Errorf("erased: %v %v", all, err)
		}
	}()
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o777 {
		t.Errorf("%v %v", fi, err)
	}
}
