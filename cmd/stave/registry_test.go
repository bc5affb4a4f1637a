package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// badregistry starts a registry on loopback that has every fault, and sets REGISTRY
// to its address. Its images say by their names what is wrong:
//
//	$REGISTRY/hangs:1      no answer ever comes
//	$REGISTRY/fails:1      every answer is 500
//	$REGISTRY/elsewhere:1  is for a machine of another kind
//	$REGISTRY/corrupt:1    has a layer whose bytes are not those of its digest
func badregistry(ts *testscript.TestScript, _ bool, _ []string) {
	closing := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
		switch name {
		case "":
		case "hangs":
			select {
			case <-r.Context().Done():
			case <-closing:
			}
		case "elsewhere", "corrupt":
			serveImage(w, r, name, rest)
		default:
			http.Error(w, "out of order", http.StatusInternalServerError)
		}
	}))
	ts.Defer(func() { close(closing); s.Close() })
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
}

// serveImage answers for an image with one layer.
func serveImage(w http.ResponseWriter, r *http.Request, name, path string) {
	arch := map[string]string{"elsewhere": "s390x", "corrupt": runtime.GOARCH}[name]
	layer := "not what it says it is"
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":[%q]}}`, arch, digest(layer))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`, manifestType, digest(config), len(config), digest(layer), len(layer))
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"platform":{"architecture":%q,"os":"linux"}}]}`,
		indexType, manifestType, digest(manifest), len(manifest), arch)
	kind, body := "application/octet-stream", ""
	switch _, at, _ := strings.Cut(path, "/"); at {
	case "1", digest(index):
		kind, body = indexType, index
	case digest(manifest):
		kind, body = manifestType, manifest
	case digest(config):
		body = config
	case digest(layer):
		body = strings.ToUpper(layer)
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest(body))
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		fmt.Fprint(w, body)
	}
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
)

func digest(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }
