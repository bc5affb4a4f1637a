package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// world is a container's root beside a host that must stay as it is.
type world struct {
	t          *testing.T
	root, host string
	dir        *os.File
}

func newWorld(t *testing.T) *world {
	top := t.TempDir()
	w := &world{t: t, root: filepath.Join(top, "root"), host: filepath.Join(top, "host")}
	for _, d := range []string{w.root, w.host, filepath.Join(w.root, "etc"), filepath.Join(w.root, "data/sub")} {
		w.check(os.MkdirAll(d, 0o755))
	}
	w.write(w.host+"/secret", "the host's")
	w.write(w.root+"/etc/passwd", "the container's")
	w.write(w.root+"/data/a", "a")
	w.write(w.root+"/data/sub/b", "b")
	dir, err := os.Open(w.root)
	w.check(err)
	w.dir = dir
	t.Cleanup(func() { dir.Close() })
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	w.check(os.WriteFile(name, []byte(text), 0o644))
}

func (w *world) pack(name string) (map[string]*tar.Header, map[string]string, error) {
	var b bytes.Buffer
	if err := As(w.dir, Owner{}, func(r Root) error { return r.Pack(name, &b) }); err != nil {
		return nil, nil, err
	}
	heads, bodies := map[string]*tar.Header{}, map[string]string{}
	for in := tar.NewReader(&b); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return heads, bodies, nil
		}
		w.check(err)
		body, err := io.ReadAll(in)
		w.check(err)
		heads[h.Name], bodies[h.Name] = h, string(body)
	}
}

// archive is entries of name and content; a name that ends in / is a directory, content that begins with -> a link.
func archive(entries ...string) io.Reader {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		h := &tar.Header{Name: entries[i], Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(entries[i+1]))}
		to, link := strings.CutPrefix(entries[i+1], "->")
		switch {
		case link:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, to, 0
		case strings.HasSuffix(entries[i], "/"):
			h.Typeflag = tar.TypeDir
		}
		_ = w.WriteHeader(h)
		if h.Size > 0 {
			_, _ = io.WriteString(w, entries[i+1])
		}
	}
	_ = w.Close()
	return &b
}

func (w *world) unpack(name string, in io.Reader, o Options) error {
	return As(w.dir, Owner{}, func(r Root) error { return r.Unpack(name, in, o) })
}

func (w *world) has(name, want string) {
	w.t.Helper()
	got, err := os.ReadFile(filepath.Join(w.root, name))
	if err != nil || string(got) != want {
		w.t.Errorf("%s is %q, %v; want %q", name, got, err, want)
	}
}

// hostIsAsItWas fails if anything of the host was touched.
func (w *world) hostIsAsItWas() {
	w.t.Helper()
	list, err := os.ReadDir(w.host)
	w.check(err)
	got, err := os.ReadFile(w.host + "/secret")
	if err != nil || string(got) != "the host's" || len(list) != 1 {
		w.t.Errorf("the host has %v, %q, %v", list, got, err)
	}
}

func TestPack(t *testing.T) {
	w := newWorld(t)
	w.check(os.Chmod(w.root+"/data/a", 0o741))
	w.check(os.Symlink("a", w.root+"/data/link"))
	w.check(syscall.Mkfifo(w.root+"/data/pipe", 0o600))
	heads, bodies, err := w.pack("/data")
	w.check(err)
	if len(heads) != 5 || bodies["a"] != "a" || bodies["sub/b"] != "b" || heads["a"].Mode&0o7777 != 0o741 || heads["link"].Linkname != "a" || heads["."].Typeflag != tar.TypeDir {
		t.Errorf("%v %v", heads, bodies)
	}
	if _, bodies, err = w.pack("data/link"); err != nil || bodies["."] != "a" {
		t.Errorf("a link that was named: %v, %v", bodies, err)
	}
	for name, want := range map[string]error{"/none": fs.ErrNotExist, "/data/a/x": unix.ENOTDIR} {
		if _, _, err := w.pack(name); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := w.pack("/data/pipe"); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("a pipe: %v", err)
	}
}

// TestLinksStayInside tries to get at the host by links, in both directions.
func TestLinksStayInside(t *testing.T) {
	w := newWorld(t)
	for name, to := range map[string]string{"abs": w.host, "up": "../host", "deep": "data/../../host", "file": w.host + "/secret", "self": "/proc/self/root" + w.host} {
		w.check(os.Symlink(to, filepath.Join(w.root, name)))
	}
	for _, name := range []string{"/abs/secret", "/up/secret", "/deep/secret", "/file", "/self/secret", "../host/secret", "/data/../../host/secret"} {
		if _, bodies, err := w.pack(name); err == nil {
			t.Errorf("%s gives %v", name, bodies)
		}
		if err := w.unpack(name, archive(".", "forged"), Options{}); err == nil && !strings.HasPrefix(name, "/file") {
			t.Errorf("%s can be written", name)
		}
		w.hostIsAsItWas()
	}
	_ = w.unpack("/abs", archive("./", "", "x", "forged"), Options{})
	_ = w.unpack("/", archive("l", "->"+w.host, "l/x", "forged", "../host/y", "forged"), Options{})
	w.hostIsAsItWas()
	// A link that was written over is replaced, not followed.
	w.check(w.unpack("/file", archive(".", "new"), Options{}))
	w.has("file", "new")
	w.hostIsAsItWas()
}

// TestExchangedDirectory swaps a directory for a link to the host while files are written below it.
func TestExchangedDirectory(t *testing.T) {
	w := newWorld(t)
	w.check(os.Symlink(w.host, w.root+"/evil"))
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, w.root+"/data/sub", unix.AT_FDCWD, w.root+"/evil", unix.RENAME_EXCHANGE)
			}
		}
	})
	for range 2000 {
		_ = w.unpack("/data/sub", archive("./", "", "x", "forged"), Options{})
		if _, bodies, err := w.pack("/data/sub/secret"); err == nil {
			t.Fatalf("read %v", bodies)
		}
	}
	close(stop)
	swapping.Wait()
	w.hostIsAsItWas()
}

func TestUnpack(t *testing.T) {
	w := newWorld(t)
	w.check(w.unpack("/data", archive(".", "a file into a directory"), Options{Into: "c"}))
	w.has("data/c", "a file into a directory")
	w.check(w.unpack("/data/c", archive(".", "again"), Options{Into: "ignored"}))
	w.has("data/c", "again")
	w.check(w.unpack("/data", archive("./", "", "x", "1", "y/", "", "y/z", "2", "l", "->x"), Options{Into: "tree"}))
	w.has("data/tree/y/z", "2")
	w.has("data/tree/l", "1")
	w.check(w.unpack("/data", archive("./", "", "x", "3", "l", "->y"), Options{Into: "tree"})) // over what is there
	w.has("data/tree/x", "3")
	for name, want := range map[string]error{"/none/x": fs.ErrNotExist, "/none/": fs.ErrNotExist} {
		if err := w.unpack(name, archive(".", "x"), Options{Into: "x"}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.unpack("/", archive("data", "x"), Options{}); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a file over a directory: %v", err)
	}
	st, err := os.Stat(w.root + "/data/tree/x")
	if err != nil || st.Mode() != 0o755 {
		t.Errorf("mode: %v, %v", st.Mode(), err)
	}
}

// TestCutOffLeavesWhatWas breaks an archive off in the middle of a file.
func TestCutOffLeavesWhatWas(t *testing.T) {
	w := newWorld(t)
	whole, err := io.ReadAll(archive(".", strings.Repeat("x", 4096)))
	w.check(err)
	if err := w.unpack("/data/a", bytes.NewReader(whole[:2000]), Options{}); err == nil {
		t.Error("half an archive passes")
	}
	w.has("data/a", "a")
	list, err := os.ReadDir(w.root + "/data")
	w.check(err)
	if len(list) != 2 {
		t.Errorf("left behind: %v", list)
	}
}

// TestAsAnotherUser has that user's rights on its thread, and nobody else's thread has.
func TestAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	w := newWorld(t)
	for dir := w.root; dir != "/"; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && st.Mode().Perm()&0o005 != 0o005 {
			w.check(os.Chmod(dir, st.Mode().Perm()|0o055))
		}
	}
	w.check(os.Mkdir(w.root+"/own", 0o755))
	w.check(os.Chown(w.root+"/own", 1234, 77))
	w.check(os.Chmod(w.root+"/etc/passwd", 0o600))
	who := Owner{UID: 1234, GID: 1234, Groups: []int{77}}
	err := As(w.dir, who, func(r Root) error {
		if err := r.Unpack("/own/f", archive(".", "x"), Options{}); err != nil {
			t.Errorf("in its own directory: %v", err)
		}
		if err := r.Unpack("/data/a", archive(".", "x"), Options{}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("in another's: %v", err)
		}
		return r.Pack("/etc/passwd", io.Discard)
	})
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("what only root may read: %v", err)
	}
	st, err := os.Stat(w.root + "/own/f")
	if s := st.Sys().(*syscall.Stat_t); err != nil || s.Uid != 1234 || s.Gid != 1234 {
		t.Errorf("belongs to %d:%d, %v", s.Uid, s.Gid, err)
	}
	runtime.Gosched()
	for range 20 { // any thread may come to run this
		var others sync.WaitGroup
		others.Go(func() {
			if uid, _ := unix.SetfsuidRetUid(-1); uid != 0 {
				t.Errorf("another thread has user %d", uid)
			}
		})
		others.Wait()
	}
	w.check(w.unpack("/data/a", archive(".", "mine"), Options{Chown: true}))
	w.has("data/a", "mine")
}
