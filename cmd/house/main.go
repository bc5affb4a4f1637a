// Command house checks the rules that this house has set itself: which way imports go, what a pure
// package may touch, how long things get. `just lint` runs it after go vet, on everything; with
// arguments it looks at those packages only (go run ./cmd/house ./events/...).
//
// Each rule is a function from a parsed package to findings, listed in rules.go; the fixtures in
// testdata show for each what it catches. Nothing is configurable: a rule that doesn't fit is
// changed here, for everybody.
package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
)

func main() {
	patterns := os.Args[1:]
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	found, err := lint(".", patterns...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(2)
	}
	for _, f := range found {
		fmt.Println(f)
	}
	if len(found) > 0 {
		fmt.Fprintf(os.Stderr, "house: %d findings\n", len(found))
		os.Exit(1)
	}
}

func lint(dir string, patterns ...string) ([]Finding, error) {
	packages, err := load(dir, patterns...)
	if err != nil {
		return nil, err
	}
	return check(packages), nil
}

// check runs every rule over every package, in the order a reader would walk the tree.
func check(packages []*Package) []Finding {
	var found []Finding
	for _, p := range packages {
		for _, r := range rules {
			for _, f := range r.check(p) {
				f.Rule = r.name
				found = append(found, f)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return slices.Compact(found)
}
