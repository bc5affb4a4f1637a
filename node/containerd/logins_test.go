package containerd

import (
	"slices"
	"testing"

	"github.com/stave-run/stave/node/runtime"
)

func TestWhichLoginsFit(t *testing.T) {
	for _, c := range []struct {
		name, server string
		want         bool
	}{
		{"docker.io/library/nginx:1", "docker.io", true}, {"docker.io/library/nginx:1", "index.docker.io", true}, {"docker.io/library/nginx:1", "index.docker.io/v1", true},
		{"quay.io/a/b:1", "docker.io", false}, {"quay.io/a/b:1", "quay.io", true}, {"quay.io/a/b:1", "quay.io/a", true}, {"quay.io/a/b:1", "quay.io/a/b", true},
		{"quay.io/ab/c:1", "quay.io/a", false}, {"r.example.com:5000/a:1", "r.example.com:5000", true}, {"r.example.com:5000/a:1", "r.example.com", false},
		{"r.example.com/a:1", "*.example.com", true}, {"a.r.example.com/a:1", "*.example.com", false}, {"quay.io/a@sha256:1", "quay.io/a", true}, {"quay.io/a:1", "", false},
	} {
		if got := fits(c.name, c.server); got != c.want {
			t.Errorf("%s with a login of %q: %v", c.name, c.server, got)
		}
	}
	whole, team, other := runtime.Login{Server: "quay.io"}, runtime.Login{Server: "quay.io/a"}, runtime.Login{Server: "docker.io"}
	if got := fitting("quay.io/a/b:1", []runtime.Login{whole, other, team}); !slices.Equal(got, []runtime.Login{team, whole}) {
		t.Errorf("tried: %v", got)
	}
	if got := fitting("ghcr.io/a:1", []runtime.Login{whole}); !slices.Equal(got, []runtime.Login{{}}) {
		t.Errorf("none fits: %v", got)
	}
}
