package containerd

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"github.com/stave-run/stave/node/runtime"
)

// fitting are the logins to try for an image, the closest first; one without any
// when none fits. name is a full one.
func fitting(name string, logins []runtime.Login) []runtime.Login {
	var out []runtime.Login
	for _, l := range logins {
		if fits(name, l.Server) {
			out = append(out, l)
		}
	}
	slices.SortStableFunc(out, func(a, b runtime.Login) int { return cmp.Compare(len(b.Server), len(a.Server)) })
	if len(out) == 0 {
		return []runtime.Login{{}}
	}
	return out
}

// dockerHub is the name that images of Docker's own registry have, and dockerIndex
// the one under which people log in there.
const (
	dockerHub   = "docker.io"
	dockerIndex = "index.docker.io"
)

// fits says whether a login is for an image: its server is the image's, a star for
// one label of it, and its path, if it has one, leads there.
func fits(name, server string) bool {
	host, path, _ := strings.Cut(server, "/")
	if host == dockerIndex || host == "registry-1.docker.io" {
		host, path = dockerHub, ""
	}
	of, rest, _ := strings.Cut(name, "/")
	want, have := strings.Split(host, "."), strings.Split(of, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && want[i] != "*" {
			return false
		}
	}
	path = strings.TrimSuffix(path, "/")
	return path == "" || rest == path || strings.HasPrefix(rest, path+"/") || strings.HasPrefix(rest, path+":") || strings.HasPrefix(rest, path+"@")
}

// unwelcome says that a registry did not like who asked: another login may be.
func unwelcome(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden
	}
	return errors.Is(err, docker.ErrInvalidAuthorization)
}
