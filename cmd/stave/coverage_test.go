package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
)

var updateDocs = flag.Bool("update-docs", false, "write the tables of the docs anew; read the difference before committing it")

// The tables of the docs say what the code does.
func TestCoverageIsTold(t *testing.T) {
	for file, tables := range map[string]map[string]string{
		"../../docs/coverage.md":            {"kinds": kindTable(), "fields": fieldTable()},
		"../../docs/coming-from-kubectl.md": {"verbs": verbTable(), "missing verbs": missingTable()},
	} {
		tablesTold(t, file, tables)
	}
}

func tablesTold(t *testing.T, file string, tables map[string]string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, table := range tables {
		begin, end := "<!-- "+name+": made by the code -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		old, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no place for the table of %s", file, name)
		}
		text = before + begin + table + end + after
		if old != table && !*updateDocs {
			t.Errorf("%s: the table of %s is old; run: go test ./cmd/stave -run TestCoverageIsTold -update-docs", file, name)
		}
	}
	if *updateDocs {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func verbs() map[string]bool {
	var c cli
	out := map[string]bool{}
	for _, n := range newParser(&c, &terminal{out: &bytes.Buffer{}, err: &bytes.Buffer{}}).Model.Children {
		out[n.Name] = true
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func missingTable() string {
	var b strings.Builder
	b.WriteString("\n| kubectl's | meanwhile |\n|---|---|\n")
	have := verbs()
	for _, v := range sorted(elsewhere) {
		if !have[v] {
			fmt.Fprintf(&b, "| `%s` | %s |\n", v, elsewhere[v])
		}
	}
	return b.String() + "\n"
}

func kindTable() string {
	var b strings.Builder
	b.WriteString("\n| kind | types on the command line | |\n|---|---|---|\n")
	for _, k := range events.Kinds {
		note := ""
		if events.FollowsServices(k.Resource) {
			note = "follows from a service that has a selector; people write it for others"
		}
		fmt.Fprintf(&b, "| %s `%s` | %s | %s |\n", k.Name, k.APIVersion(), strings.Join(append([]string{k.Plural(), k.Singular}, k.Short...), ", "), note)
	}
	return b.String() + "\n"
}

// fieldTable tells what becomes of the fields of each kind. Those of metadata are
// the same for all; a template is told of with pods.
func fieldTable() string {
	var b strings.Builder
	section(&b, "Every kind", manifest.Coverage(events.Namespaces), func(path string) bool { return strings.HasPrefix(path, "metadata.") })
	for _, k := range events.Kinds {
		section(&b, k.Name, manifest.Coverage(k.Resource), func(path string) bool {
			return strings.Contains(path, ".") && !strings.HasPrefix(path, "metadata.") && !strings.HasPrefix(path, "spec.template.") ||
				strings.HasPrefix(path, "data") || strings.HasPrefix(path, "binary") || path == "immutable"
		})
	}
	return b.String() + "\n"
}

func section(b *strings.Builder, title string, fields []manifest.Field, in func(string) bool) {
	var honoured, told []string
	for _, f := range fields {
		what := f.Said
		if f.Refused {
			what = "**refused**: " + what
		}
		if f.Unless != "" {
			what += " (unless " + strings.Join(strings.Fields(f.Unless), ", ") + ")"
		}
		switch {
		case !in(f.Path):
		case f.Said == "":
			honoured = append(honoured, "`"+f.Path+"`")
		default:
			told = append(told, fmt.Sprintf("| `%s` | %s |", f.Path, what))
		}
	}
	if len(honoured)+len(told) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\nHonoured: %s.\n", title, strings.Join(honoured, ", "))
	if len(told) > 0 {
		fmt.Fprintf(b, "\n| field | |\n|---|---|\n%s\n", strings.Join(told, "\n"))
	}
}
