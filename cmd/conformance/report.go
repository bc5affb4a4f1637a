package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// spec is one of the suite's.
type spec struct {
	name   string // "[sig-node] Pods should …", as the suite prints it and --focus takes it
	area   string // "sig-node"
	serial bool   // it wants the cluster for itself
}

// result is how a spec went.
type result struct {
	spec
	state string   // "passed", "failed", "skipped", "timedout", …; "" when it did not run
	why   []string // the first lines of what it said when it failed or was skipped
	again bool     // this is its second run
}

func (r result) passed() bool { return r.state == "passed" }

// ran says whether it came to an end of its own, good or bad.
func (r result) ran() bool { return r.state != "" && r.state != "skipped" && r.state != "pending" }

func (r result) failed() bool { return r.ran() && !r.passed() }

// reported is what ginkgo writes of a spec, as far as it is read here.
type reported struct {
	ContainerHierarchyTexts  []string
	ContainerHierarchyLabels [][]string
	LeafNodeType             string
	LeafNodeText             string
	LeafNodeLabels           []string
	State                    string
	Failure                  *struct{ Message string }
}

// readReport reads a report of ginkgo; specs that were not chosen are left out.
func readReport(file string) ([]result, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	var runs []struct{ SpecReports []reported }
	if err := json.Unmarshal(body, &runs); err != nil {
		return nil, fmt.Errorf("read report %s: %w", file, err)
	}
	var out []result
	for _, run := range runs {
		for _, one := range run.SpecReports {
			if one.LeafNodeType == "It" && one.chosen() {
				out = append(out, one.result())
			}
		}
	}
	return out, nil
}

// chosen is false for what the labels and names left out: such a spec is skipped, and nobody said why.
func (r reported) chosen() bool { return r.State != "skipped" || r.Failure != nil }

func (r reported) result() result {
	var labels []string
	for _, some := range append(r.ContainerHierarchyLabels, r.LeafNodeLabels) {
		labels = append(labels, some...)
	}
	out := result{state: r.State, spec: spec{
		name:   strings.Join(append(slices.Clone(r.ContainerHierarchyTexts), r.LeafNodeText), " "),
		serial: slices.Contains(labels, "Serial"),
	}}
	for _, l := range labels {
		if strings.HasPrefix(l, "sig-") {
			out.area = l
		}
	}
	if r.Failure != nil {
		out.why = firstLines(r.Failure.Message)
	}
	return out
}

// maxWhy is how many lines of a failure are shown; the log has all.
const maxWhy = 4

// firstLines are those of a message that say something.
func firstLines(message string) []string {
	var out []string
	for line := range strings.Lines(message) {
		if line = strings.TrimSpace(line); line != "" && len(out) < maxWhy {
			out = append(out, line)
		}
	}
	return out
}

// specsOf are the specs of an area.
func specsOf(all []spec, area string) []spec {
	var out []spec
	for _, one := range all {
		if one.area == area {
			out = append(out, one)
		}
	}
	return out
}
