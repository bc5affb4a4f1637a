package imagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// store answers the pulling half of the registry protocol from images in memory and on disk.
type store struct {
	mu        sync.Mutex
	manifests map[string]manifest  // by "library/nginx:alpine" and by "library/nginx@sha256:…"
	blobs     map[string]opener    // by digest
	pulls     map[string]int       // manifests sent, by the same names
	faults    map[string]*fault    // by repository
	rate      atomic.Int64         // bytes of a layer a second; 0: no bound
	logins    map[string][2]string // user and password, by repository
}

type (
	manifest struct {
		kind, digest string
		body         []byte
	}
	opener func() (io.ReadCloser, error)
	// fault replaces the answers of one repository until healed is closed.
	fault struct {
		status int // 0: no answer at all
		healed chan struct{}
	}
)

func newStore() *store {
	return &store{
		manifests: map[string]manifest{}, blobs: map[string]opener{},
		pulls: map[string]int{}, faults: map[string]*fault{}, logins: map[string][2]string{},
	}
}

// put makes an image pullable as tag, "repository:tag".
func (s *store) put(tag string, img v1.Image) error {
	repository, _, ok := strings.Cut(tag, ":")
	if !ok {
		return fmt.Errorf("put image %q: want repository:tag", tag)
	}
	body, err1 := img.RawManifest()
	config, err2 := img.RawConfigFile()
	layers, err3 := img.Layers()
	list, err4 := img.Manifest()
	digest, err5 := img.Digest()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return fmt.Errorf("put image %s: %w", tag, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := manifest{kind: string(list.MediaType), digest: digest.String(), body: body}
	s.manifests[tag], s.manifests[repository+"@"+m.digest] = m, m
	s.blobs[list.Config.Digest.String()] = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(config)), nil }
	for i, l := range layers {
		s.blobs[list.Layers[i].Digest.String()] = l.Compressed
	}
	return nil
}

// ServeHTTP answers /v2/, /v2/REPOSITORY/manifests/REFERENCE and /v2/REPOSITORY/blobs/DIGEST.
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "this registry is read only", http.StatusMethodNotAllowed)
		return
	}
	if path == "" {
		return // 200: this is a registry
	}
	if repository, reference, ok := cutLast(path, "/manifests/"); ok {
		if !s.broken(w, r, repository) && s.known(w, r, repository) {
			s.serveManifest(w, r, repository, reference)
		}
		return
	}
	if repository, digest, ok := cutLast(path, "/blobs/"); ok {
		if !s.broken(w, r, repository) && s.known(w, r, repository) {
			s.serveBlob(w, r, digest)
		}
		return
	}
	http.NotFound(w, r)
}

// known says whether who asks may have a repository; if not, that is answered.
func (s *store) known(w http.ResponseWriter, r *http.Request, repository string) bool {
	s.mu.Lock()
	want, closed := s.logins[repository]
	s.mu.Unlock()
	user, password, _ := r.BasicAuth()
	if !closed || user == want[0] && password == want[1] {
		return true
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="imagetest"`)
	http.Error(w, "who are you?", http.StatusUnauthorized)
	return false
}

// cutLast is strings.Cut at the last separator: repositories may hold any word.
func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (s *store) serveManifest(w http.ResponseWriter, r *http.Request, repository, reference string) {
	name := repository + ":" + reference
	if strings.Contains(reference, ":") {
		name = repository + "@" + reference
	}
	s.mu.Lock()
	m, ok := s.manifests[name]
	if ok && r.Method == http.MethodGet {
		s.pulls[name]++
	}
	s.mu.Unlock()
	if !ok {
		// containerd tells "no such image" from other trouble by this code.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown manifest","detail":%q}]}`, name)
		return
	}
	w.Header().Set("Content-Type", m.kind)
	w.Header().Set("Docker-Content-Digest", m.digest)
	w.Header().Set("Content-Length", strconv.Itoa(len(m.body)))
	w.Write(m.body)
}

func (s *store) serveBlob(w http.ResponseWriter, r *http.Request, digest string) {
	s.mu.Lock()
	open, ok := s.blobs[digest]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	body, err := open()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest)
	w = s.paced(w, r)
	if seeker, ok := body.(io.ReadSeeker); ok { // ranges: an interrupted pull goes on where it stopped
		http.ServeContent(w, r, "", time.Time{}, seeker)
		return
	}
	io.Copy(w, body)
}

// broken plays the repository's fault, if it has one, and says whether it did.
func (s *store) broken(w http.ResponseWriter, r *http.Request, repository string) bool {
	s.mu.Lock()
	f := s.faults[repository]
	s.mu.Unlock()
	switch {
	case f == nil:
		return false
	case f.status != 0:
		http.Error(w, http.StatusText(f.status), f.status)
	default:
		select {
		case <-f.healed:
			return false
		case <-r.Context().Done():
		}
	}
	return true
}

// setFault puts a fault on a repository in place of the one before; nil heals it.
func (s *store) setFault(repository string, f *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.faults[repository]; old != nil {
		close(old.healed)
	}
	delete(s.faults, repository)
	if f != nil {
		s.faults[repository] = f
	}
}

func (s *store) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for repository, f := range s.faults {
		close(f.healed)
		delete(s.faults, repository)
	}
}
