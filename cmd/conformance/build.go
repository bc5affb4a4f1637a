package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is where the suite and its tools are required, with their checksums: a module of its own, so that all of
// Kubernetes is no part of ours. The command runs at the repository's root.
const module = "gateway/kube/testdata/suite"

// kubernetes is the module that the suite lies in, and the version of which all tools say that they are.
const kubernetes = "k8s.io/kubernetes"

// programs are what the suite needs, by the names that images.go and suite.go know them by.
var programs = []struct{ name, from string }{
	{"ginkgo", "github.com/onsi/ginkgo/v2/ginkgo"},
	{"kubectl", kubernetes + "/cmd/kubectl"},
	{"agnhost", kubernetes + "/test/images/agnhost"},
	{"nnp", kubernetes + "/test/images/nonewprivs"},
	{"consumer", kubernetes + "/test/images/resource-consumer"},
	{"consume-cpu", kubernetes + "/test/images/resource-consumer/consume-cpu"},
	{"regression-issue-74839", kubernetes + "/test/images/regression-issue-74839"},
	{"sample-apiserver", "k8s.io/sample-apiserver"},
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"e2e.test", kubernetes + "/test/e2e"},
}

// tools are the programs that were built.
type tools struct {
	dir     string // of everything that is kept from one run to the next
	bin     string // by version and checksums of what they are built from
	sources string // Kubernetes' own
	version string // "v1.37.2"
}

func (t *tools) path(name string) string { return filepath.Join(t.bin, name) }

// build compiles what is missing: minutes, the first time.
func build(ctx context.Context) (*tools, error) {
	t := &tools{}
	about, err := goTool(ctx, "list", "-m", "-f", "{{.Version}} {{.Dir}}", kubernetes)
	if err != nil {
		return nil, err
	}
	t.version, t.sources, _ = strings.Cut(strings.TrimSpace(string(about)), " ")
	if t.sources == "" {
		if _, err := goTool(ctx, "mod", "download", kubernetes); err != nil {
			return nil, err
		}
		return build(ctx)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache: %w", err)
	}
	key, err := checksum("go.mod", "go.sum")
	if err != nil {
		return nil, err
	}
	t.dir = filepath.Join(cache, "stave", "conformance")
	t.bin = filepath.Join(t.dir, t.version+"-"+key)
	for _, p := range programs {
		if _, err := os.Stat(t.path(p.name)); err == nil {
			continue
		}
		say("building %s of %s", p.name, p.from)
		if err := t.compile(ctx, p.name, p.from); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// compile makes a program, which appears under its name whole or not at all.
func (t *tools) compile(ctx context.Context, name, from string) error {
	part := t.path(name) + ".part"
	args := []string{"build"}
	if strings.HasSuffix(name, ".test") {
		args = []string{"test", "-c"}
	}
	if _, err := goTool(ctx, append(args, "-ldflags", t.stamp(), "-o", part, from)...); err != nil {
		return err
	}
	return os.Rename(part, t.path(name))
}

// stamp gives the programs their version: kubectl is asked for it, and the suite makes images' names and pods of it.
func (t *tools) stamp() string {
	flags := "-s -w"
	major, rest, _ := strings.Cut(strings.TrimPrefix(t.version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	for _, pair := range [][2]string{{"gitVersion", t.version}, {"gitMajor", major}, {"gitMinor", minor}} {
		flags += " -X k8s.io/component-base/version." + pair[0] + "=" + pair[1]
	}
	return flags
}

// checksum names what the tools are built from.
func checksum(names ...string) (string, error) {
	h := sha256.New()
	for _, name := range names {
		body, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", fmt.Errorf("find the suite's module: %w (this runs at the repository's root)", err)
		}
		h.Write(body)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// goTool runs go in the suite's module.
func goTool(ctx context.Context, args ...string) ([]byte, error) {
	return output(ctx, "go", append([]string{args[0], "-C", module}, args[1:]...)...)
}

// output runs a command; what it said goes into the error.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = &said
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, said.Bytes())
	}
	return out, nil
}
