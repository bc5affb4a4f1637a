package imagetest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// pull fetches an image through HTTP, as a client would, checks every digest and unpacks it to dir.
func pull(t *testing.T, r *Registry, repository, tag, dir string) v1.ConfigFile {
	t.Helper()
	base := "http://" + r.Addr + "/v2/" + repository
	status, body := get(t, base+"/manifests/"+tag)
	if status != http.StatusOK {
		t.Fatalf("manifest %s:%s: status %d: %s", repository, tag, status, body)
	}
	var m v1.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	blob := func(d v1.Descriptor) []byte {
		_, b := get(t, base+"/blobs/"+d.Digest.String())
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != d.Digest.Hex || int64(len(b)) != d.Size {
			t.Fatalf("blob %s: %d bytes that hash to %x", d.Digest, len(b), sum)
		}
		return b
	}
	for _, l := range m.Layers {
		unzip(t, blob(l), dir)
	}
	var config v1.ConfigFile
	if err := json.Unmarshal(blob(m.Config), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func unzip(t *testing.T, layer []byte, dir string) {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(string(layer)))
	if err != nil {
		t.Fatal(err)
	}
	err = walkTar(tar.NewReader(z), func(h *tar.Header, body io.Reader) error {
		to := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			return os.MkdirAll(to, 0o755)
		}
		if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) { // of a layer below
			return err
		}
		switch h.Typeflag {
		case tar.TypeSymlink:
			return os.Symlink(h.Linkname, to)
		case tar.TypeLink:
			return os.Link(filepath.Join(dir, h.Linkname), to)
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, os.FileMode(h.Mode))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(f, body)
		return errors.Join(err, syscall.Fchmod(int(f.Fd()), uint32(h.Mode)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inside runs a shell line in an image's files, with namespaces of its own: nothing that it starts
// outlives it.
func inside(t *testing.T, root, line string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root for chroot and namespaces: ./just test as root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "mount -t proc proc /proc; ip link set lo up; "+line)
	cmd.Dir, cmd.Env = "/", []string{searchPath}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     root,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		// or the mount of /proc would show outside as well
		Unshareflags: syscall.CLONE_NEWNS,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// fakeDev gives /dev the few files that a runtime would put there.
func fakeDev(t *testing.T, root string) {
	t.Helper()
	for name, target := range map[string]string{"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(root, "dev", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mknod(filepath.Join(root, "dev/null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Fatal(err)
	}
}

func TestNginxServesItsPage(t *testing.T) {
	root := t.TempDir()
	config := pull(t, Start(t), "library/nginx", "alpine", root)
	if got := strings.Join(config.Config.Cmd, " "); got != "nginx -g daemon off;" {
		t.Errorf("command = %q", got)
	}
	fakeDev(t, root)
	out := inside(t, root, "nginx -g 'daemon off;' & "+
		"for i in $(seq 50); do wget -qO- http://127.0.0.1/ && break; sleep 0.1; done; kill -QUIT $!; wait $!")
	if !strings.Contains(out, "Welcome to nginx!") {
		t.Errorf("no welcome page in:\n%s", out)
	}
	if !strings.Contains(out, `"GET / HTTP/1.1" 200`) {
		t.Errorf("no access log on the standard output:\n%s", out)
	}
}

func TestBusyboxHasTheUsualTools(t *testing.T) {
	root := t.TempDir()
	pull(t, Start(t), "library/busybox", "1.28", root)
	fakeDev(t, root)
	for _, tool := range []string{"sh", "wget", "nslookup", "nc", "sleep", "cat", "ps", "kill", "tail", "httpd"} {
		inside(t, root, "command -v "+tool)
	}
	if out := inside(t, root, "echo 127.0.0.1 some-service >/etc/hosts; echo hi >/tmp/page; httpd -h /tmp; wget -qO- http://some-service/page"); out != "hi\n" {
		t.Errorf("wget by name printed %q", out)
	}
}

func TestEachTagHasADigestAndAllAreKept(t *testing.T) {
	images, err := Build(t.Context(), DefaultCache())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[v1.Hash]string{}
	for _, tag := range append(append([]string{}, busyboxTags...), nginxTags...) {
		img, ok := images[tag]
		if !ok {
			t.Fatalf("no image %s", tag)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if other := seen[digest]; other != "" {
			t.Errorf("%s and %s have the same digest", tag, other)
		}
		seen[digest] = tag
	}
}

func TestBuildingTwiceGivesTheSameBytes(t *testing.T) {
	cache := DefaultCache()
	kept, err := Build(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	debs, err := filepath.Glob(filepath.Join(cache, "debs-*"))
	if err != nil || len(debs) == 0 {
		t.Fatalf("no packages in %s (%v)", cache, err)
	}
	again := t.TempDir()
	for _, dir := range debs { // the same packages, so that no download is needed
		if err := os.CopyFS(filepath.Join(again, filepath.Base(dir)), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	built, err := Build(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	for tag, img := range kept {
		was, err1 := img.Digest()
		is, err2 := built[tag].Digest()
		if err1 != nil || err2 != nil || was != is {
			t.Errorf("%s: %s, then %s (%v, %v)", tag, was, is, err1, err2)
		}
	}
}

func TestUnknownImage(t *testing.T) {
	r := Start(t)
	status, body := get(t, "http://"+r.Addr+"/v2/library/nothing/manifests/latest")
	if status != http.StatusNotFound || !strings.Contains(string(body), "MANIFEST_UNKNOWN") {
		t.Errorf("status %d: %s", status, body)
	}
}

func TestFaults(t *testing.T) {
	r := Start(t)
	url := "http://" + r.Addr + "/v2/library/busybox/manifests/latest"
	r.Fail("library/busybox", http.StatusInternalServerError)
	if status, _ := get(t, url); status != http.StatusInternalServerError {
		t.Errorf("failing: status %d", status)
	}
	r.Hang("library/busybox")
	done := make(chan int, 1)
	go func() {
		status, _ := get(t, url)
		done <- status
	}()
	select {
	case status := <-done:
		t.Fatalf("hanging: answered %d", status)
	case <-time.After(200 * time.Millisecond):
	}
	if n := r.Pulls("library/busybox:latest"); n != 0 {
		t.Errorf("pulls while broken = %d", n)
	}
	r.Heal("library/busybox")
	if status := <-done; status != http.StatusOK {
		t.Errorf("healed: status %d", status)
	}
	if n := r.Pulls("library/busybox:latest"); n != 1 {
		t.Errorf("pulls after healing = %d", n)
	}
}

func TestHostsFile(t *testing.T) {
	r := Start(t)
	body, err := os.ReadFile(filepath.Join(r.HostsDir, "docker.io", "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), `[host."http://`+r.Addr+`"]`) {
		t.Errorf("hosts.toml doesn't name %s:\n%s", r.Addr, body)
	}
}

func TestDependencies(t *testing.T) {
	got := dependencies("libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, zlib1g:any (>= 1:1.1.4)\n")
	if want := "libc6 debconf zlib1g"; strings.Join(got, " ") != want {
		t.Errorf("dependencies = %q, want %q", got, want)
	}
}
