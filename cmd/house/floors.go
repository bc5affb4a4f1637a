package main

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// room is what the house's plan (ARCHITECTURE.md) says about a folder and all below it.
type room struct {
	floor int
	kind  kind
}

type kind int

const (
	pure  kind = iota // a function of its arguments
	part              // touches the world, but decides nothing and drives nothing; others build on it
	shell             // drives: holds goroutines, sockets, processes; knows no other shell
	door              // wires the shells together
)

// plan gives every folder its room; the longest entry that fits counts.
var plan = map[string]room{
	"events":                 {0, pure},
	"projections":            {1, pure},
	"projections/follow":     {3, shell},
	"bus":                    {1, part},
	"bus/jetstream":          {3, shell},
	"reconcilers":            {2, pure},
	"reconcilers/run":        {3, shell},
	"reconcilers/sim":        {4, door},
	"reconcilers/fork":       {4, door},
	"gateway/admit":          {2, pure},
	"gateway/merge":          {2, pure},
	"gateway/wire":           {1, pure},
	"gateway/rbac":           {2, pure},
	"gateway/vault":          {2, part},
	"gateway/badge":          {2, part},
	"gateway/custom":         {2, part},
	"gateway/undo":           {2, pure},
	"gateway/policy":         {2, part},
	"gateway/reach":          {2, part},
	"gateway/webhook":        {3, shell},
	"gateway":                {3, shell},
	"gateway/kube/authority": {2, part},
	"gateway/kube/schema":    {2, part},
	"node/plan":              {2, pure},
	"node/guesttest":         {3, shell},
	"node/ledger":            {2, pure},
	"node/imagetest":         {2, part},
	"node/imagetest/serve":   {4, door},
	"node/logfile":           {2, part},
	"node/rootfs":            {2, part},
	"node/shim":              {2, part},
	"node/runtime":           {2, part},
	"node/volume":            {2, part},
	"node":                   {3, shell},
	"node/containerd":        {3, shell},
	"dataplane/plan":         {2, pure},
	"dataplane/policy":       {2, pure},
	"dataplane/netdump":      {2, part},
	"dataplane":              {3, shell},
	"cmd":                    {4, door},
	"examples":               {4, door},
}

// roomOf finds a package's room; ok is false for a folder that the plan doesn't have.
func roomOf(path string) (room, bool) {
	for prefix := path; prefix != ""; {
		if r, ok := plan[prefix]; ok {
			return r, true
		}
		i := strings.LastIndexByte(prefix, '/')
		prefix = prefix[:max(i, 0)]
	}
	return room{}, false
}

func (p *Package) pure() bool {
	r, ok := roomOf(p.Path)
	return ok && r.kind == pure
}

// floors holds our own imports: only down, pure only to pure, a shell never to another shell.
// As every package is held to it, it holds for what they import in turn.
func floors(p *Package) []Finding {
	here, ok := roomOf(p.Path)
	if !ok {
		f := p.Files[0]
		return []Finding{p.finding(f, f.Syntax.Name, "folder %s has no floor: give it one in cmd/house/floors.go", p.Path)}
	}
	return p.eachImport(func(f *File, spec *ast.ImportSpec, path string) []Finding {
		if !ours(path) {
			return nil
		}
		target := relative(path)
		there, _ := roomOf(target) // one without a room is found when it is looked at itself
		switch {
		case there.floor > here.floor:
			return []Finding{p.finding(f, spec, "%s (floor %d) imports %s (floor %d): imports go down only", p.Path, here.floor, target, there.floor)}
		case here.kind == pure && there.kind != pure:
			return []Finding{p.finding(f, spec, "%s is pure and imports %s, which is not", p.Path, target)}
		case here.kind == shell && there.kind == shell:
			return []Finding{p.finding(f, spec, "shell %s imports shell %s: let them meet in cmd/stave, by an interface", p.Path, target)}
		}
		return nil
	})
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// eachImport asks about every import of the program's files, generated ones too.
func (p *Package) eachImport(ask func(*File, *ast.ImportSpec, string) []Finding) []Finding {
	var found []Finding
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, spec := range f.Syntax.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil {
				found = append(found, ask(f, spec, path)...)
			}
		}
	}
	return found
}

// exclusive names the foreign modules that only one place, or program, may know.
var exclusive = map[string][]string{
	"github.com/nats-io/":    {"bus/jetstream"},
	"k8s.io/apiserver/":      {"gateway/kube", "gateway/custom", "gateway/policy", "gateway/webhook"},
	"github.com/containerd/": {"node/containerd", "node/shim/cmd"}, // the shim is a program of its own
}

// allowed are the foreign packages that pure ones may import, exactly or (ending in /) below.
var allowed = []string{
	"k8s.io/api/",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1",
	"k8s.io/apimachinery/pkg/api/resource",
	"k8s.io/apimachinery/pkg/apis/meta/v1",
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured",
	"k8s.io/apimachinery/pkg/fields",
	"k8s.io/apimachinery/pkg/labels",
	"k8s.io/apimachinery/pkg/runtime",
	"k8s.io/apimachinery/pkg/runtime/schema",
	"k8s.io/apimachinery/pkg/types",
	"k8s.io/apimachinery/pkg/util/intstr",
	"k8s.io/apimachinery/pkg/util/validation",
	"k8s.io/apimachinery/pkg/util/validation/field",
	"k8s.io/apimachinery/pkg/version",
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1",
}

// allowedIn are those that one pure room alone may import besides.
var allowedIn = map[string][]string{
	"projections":     {"github.com/fxamacker/cbor/v2"},
	"gateway/rbac":    {"k8s.io/component-helpers/auth/rbac/validation"},
	"events/manifest": {"github.com/goccy/go-yaml", "github.com/goccy/go-yaml/"},
	"gateway/merge": {
		"k8s.io/apimachinery/pkg/util/strategicpatch", "k8s.io/apimachinery/pkg/util/jsonmergepatch",
		"k8s.io/apimachinery/pkg/util/mergepatch", "k8s.io/apimachinery/pkg/util/managedfields",
		"k8s.io/client-go/applyconfigurations",
	},
}

// forbidden are the parts of the standard library that no pure package needs; their children too.
var forbidden = []string{
	"os", "net", "context", "log", "math/rand", "crypto/rand", "io/fs", "io/ioutil", "syscall", "plugin",
	"testing", "runtime", "database/sql", "embed",
}

// harmless are children of the forbidden that hold values only.
var harmless = []string{"net/netip", "net/url", "embed"}

func foreign(p *Package) []Finding {
	return p.eachImport(func(f *File, spec *ast.ImportSpec, path string) []Finding {
		if ours(path) {
			return nil
		}
		for prefix, homes := range exclusive {
			if strings.HasPrefix(path, prefix) && !slices.Contains(homes, p.Path) {
				return []Finding{p.finding(f, spec, "only %s may import %s", strings.Join(homes, " and "), path)}
			}
		}
		if p.pure() && !mayImport(p.Path, path) {
			return []Finding{p.finding(f, spec, "%s is pure and may not import %s", p.Path, path)}
		}
		return nil
	})
}

func mayImport(room, path string) bool {
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") { // the standard library
		return listed(path, harmless) || !below(path, forbidden)
	}
	return listed(path, allowed) || listed(path, allowedIn[room])
}

// listed looks for a path in a list where an entry that ends in / stands for all below it.
func listed(path string, list []string) bool {
	for _, entry := range list {
		if path == entry || strings.HasSuffix(entry, "/") && strings.HasPrefix(path, entry) {
			return true
		}
	}
	return false
}

func below(path string, list []string) bool {
	for _, entry := range list {
		if path == entry || strings.HasPrefix(path, entry+"/") {
			return true
		}
	}
	return false
}
