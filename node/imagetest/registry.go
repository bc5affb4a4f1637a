package imagetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Registry is a registry on loopback that answers in docker.io's place.
type Registry struct {
	// Addr is where it listens, HOST:PORT, without TLS.
	Addr string
	// HostsDir is a folder in containerd's hosts.toml layout which sends pulls of docker.io here;
	// `stave up --registry-hosts` takes it.
	HostsDir string

	store  *store
	server *http.Server
}

// Start serves the images on a free loopback port until the test ends. The first call on a machine
// builds them, which takes some seconds and downloads Debian packages.
func Start(t testing.TB) *Registry {
	t.Helper()
	r, err := Serve(t.Context(), "127.0.0.1:0", filepath.Join(t.TempDir(), "certs.d"), DefaultCache())
	if err != nil {
		t.Fatalf("start registry: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close registry: %v", err)
		}
	})
	return r
}

// Serve is Start for programs: images from the cache folder, the hosts.toml layout written to hosts.
// It serves when it returns; ctx bounds the building only, Close stops it.
func Serve(ctx context.Context, addr, hosts, cache string) (*Registry, error) {
	images, err := Build(ctx, cache)
	if err != nil {
		return nil, err
	}
	r := &Registry{HostsDir: hosts, store: newStore()}
	for tag, img := range images {
		if err := r.Put(tag, img); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	r.Addr = listener.Addr().String()
	if err := r.StandFor("docker.io"); err != nil {
		listener.Close()
		return nil, err
	}
	r.server = &http.Server{Handler: r.store, ReadHeaderTimeout: 10 * time.Second}
	go r.server.Serve(listener)
	return r, nil
}

// StandFor makes this one answer in the place of another registry ("registry.k8s.io"), as that one's only host: no
// fall-back reaches the internet. A cluster that runs already sees it too.
func (r *Registry) StandFor(registry string) error {
	body := fmt.Sprintf("server = \"http://%s\"\n\n[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", r.Addr, r.Addr)
	dir := filepath.Join(r.HostsDir, registry)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create hosts folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(body), 0o644); err != nil {
		return fmt.Errorf("write hosts.toml: %w", err)
	}
	return nil
}

// Put serves another image as tag, "library/echo:1".
func (r *Registry) Put(tag string, img v1.Image) error { return r.store.put(tag, img) }

// Pulls says how often the manifest of a tag was sent: what imagePullPolicy is about. Asking for its
// digest alone (HEAD) doesn't count; a client that then fetches by digest is counted under
// "repository@sha256:…".
func (r *Registry) Pulls(name string) int {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	return r.store.pulls[name]
}

// CloseOff makes a repository ("library/closed") one that only who knows name and password gets.
func (r *Registry) CloseOff(repository, user, password string) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	r.store.logins[repository] = [2]string{user, password}
}

// Alias serves what a tag is under another one too.
func (r *Registry) Alias(tag, as string) error {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	m, ok := r.store.manifests[tag]
	repository, _, named := strings.Cut(as, ":")
	if !ok || !named {
		return fmt.Errorf("serve %s as %s: no such image or tag", tag, as)
	}
	r.store.manifests[as], r.store.manifests[repository+"@"+m.digest] = m, m
	return nil
}

// Fail makes every request for a repository ("library/busybox") answer with an HTTP status.
func (r *Registry) Fail(repository string, status int) {
	r.store.setFault(repository, &fault{status: status, healed: make(chan struct{})})
}

// Hang leaves every request for a repository unanswered until Heal; those that wait then go on.
func (r *Registry) Hang(repository string) {
	r.store.setFault(repository, &fault{healed: make(chan struct{})})
}

// Heal ends what Fail or Hang began.
func (r *Registry) Heal(repository string) { r.store.setFault(repository, nil) }

// Close stops the registry, also under requests that hang.
func (r *Registry) Close() error {
	r.store.heal()
	if err := r.server.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stop registry: %w", err)
	}
	return nil
}
