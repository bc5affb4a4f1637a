package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// report is what ginkgo writes of a run: a node of the suite itself, specs that passed, failed, were skipped with a
// reason, and one that was not chosen.
const report = `[{"SpecReports": [
 {"LeafNodeType": "SynchronizedBeforeSuite", "State": "passed"},
 {"ContainerHierarchyTexts": ["[sig-apps] Deployment"], "ContainerHierarchyLabels": [["sig-apps"]], "LeafNodeType": "It",
  "LeafNodeText": "should roll (over) [Conformance]", "LeafNodeLabels": ["Conformance"], "State": "passed"},
 {"ContainerHierarchyTexts": ["[sig-apps] Daemon set [Serial]"], "ContainerHierarchyLabels": [["sig-apps", "Serial"]], "LeafNodeType": "It",
  "LeafNodeText": "should update [Conformance]", "LeafNodeLabels": ["Conformance"], "State": "failed",
  "Failure": {"Message": "waiting for pods:\n\n    Expected\n  <int>: 1 | 2\nto equal\n  <int>: 3\nmore"}},
 {"ContainerHierarchyTexts": ["[sig-apps] Job"], "ContainerHierarchyLabels": [["sig-apps"]], "LeafNodeType": "It",
  "LeafNodeText": "should skip", "LeafNodeLabels": [], "State": "skipped", "Failure": {"Message": "only on another cloud"}},
 {"ContainerHierarchyTexts": ["[sig-node] Pods"], "ContainerHierarchyLabels": [["sig-node"]], "LeafNodeType": "It",
  "LeafNodeText": "should not be here", "LeafNodeLabels": [], "State": "skipped"}]}]`

func read(t *testing.T) []result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(file, []byte(report), 0o644); err != nil {
		t.Fatal(err)
	}
	results, err := readReport(file)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestReportsAreRead(t *testing.T) {
	results := read(t)
	if len(results) != 3 {
		t.Fatalf("%d results: %v", len(results), results)
	}
	for i, want := range []result{
		{spec: spec{name: "[sig-apps] Deployment should roll (over) [Conformance]", area: "sig-apps"}, state: "passed"},
		{spec: spec{name: "[sig-apps] Daemon set [Serial] should update [Conformance]", area: "sig-apps", serial: true}, state: "failed",
			why: []string{"waiting for pods:", "Expected", "<int>: 1 | 2", "to equal"}},
		{spec: spec{name: "[sig-apps] Job should skip", area: "sig-apps"}, state: "skipped", why: []string{"only on another cloud"}},
	} {
		if got := results[i]; got.spec != want.spec || got.state != want.state || !slices.Equal(got.why, want.why) {
			t.Errorf("result %d = %+v\nwant %+v", i, got, want)
		}
	}
	if results[0].failed() || !results[1].failed() || results[2].failed() || results[2].ran() {
		t.Errorf("who failed and ran: %+v", results)
	}
}

func TestWhatIsNotToldDidNotRun(t *testing.T) {
	gone := spec{name: "[sig-apps] Job should vanish", area: "sig-apps"}
	results := asked([]spec{gone, read(t)[0].spec}, read(t))
	if len(results) != 2 || results[0].ran() || results[0].spec != gone || !results[1].passed() {
		t.Errorf("results = %+v", results)
	}
}

func TestFocusFitsTheSpecsAlone(t *testing.T) {
	results := read(t)
	fits := regexp.MustCompile(focus([]spec{results[0].spec, results[1].spec}))
	for i, want := range []bool{true, true, false} {
		if got := fits.MatchString("Kubernetes e2e suite " + results[i].name); got != want {
			t.Errorf("%s: fits = %v", results[i].name, got)
		}
	}
	if fits.MatchString("Kubernetes e2e suite " + results[0].name + " and more") {
		t.Error("a longer name fits too")
	}
}

func TestRows(t *testing.T) {
	r := row{area: "sig-apps", labels: "Conformance", nodes: "real", results: read(t)}
	want := `| sig-apps | real | 2 | 1 | “[sig-apps] Daemon set [Serial] should update [Conformance]”: waiting for pods: Expected <int>: 1 \| 2 to equal; not run: “[sig-apps] Job should skip”: only on another cloud |`
	if got := r.String(); got != want {
		t.Errorf("row = %s\nwant  %s", got, want)
	}
	if u := r.unknown(); len(u) != 1 || !strings.HasPrefix(u[0], "[sig-apps] Daemon set") {
		t.Errorf("unknown = %q", u)
	}
	r.results = []result{{spec: spec{name: "[sig-apps] " + knownFailures[0].name + " [Conformance]"}, state: "failed", why: []string{"it did"}}}
	if got, want := r.String(), "| sig-apps | real | 1 | 0 | "+knownFailures[0].why+" |"; got != want {
		t.Errorf("row = %s\nwant  %s", got, want)
	}
	if u := r.unknown(); len(u) != 0 {
		t.Errorf("unknown = %q", u)
	}
}

func TestRowsGoIntoTheTable(t *testing.T) {
	doc := "# x\n\n| other |\n|---|\n| sig-apps | |\n\n" + tableHead + "\n|---|---|---|---|---|\n| sig-node | real | 1 | 1 | |\n| sig-apps | old | 9 | 9 | |\n\nend\n"
	r := row{area: "sig-apps", labels: "Conformance", nodes: "real"}
	got, err := withRow(doc, r)
	if want := strings.Replace(doc, "| sig-apps | old | 9 | 9 | |", "| sig-apps | real | 0 | 0 | |", 1); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	r.labels = "Slow"
	got, err = withRow(doc, r)
	if want := strings.Replace(doc, "9 | 9 | |\n", "9 | 9 | |\n| sig-apps (`Slow`) | real | 0 | 0 | |\n", 1); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := withRow("no table", r); err == nil {
		t.Error("a text without the table was taken")
	}
	if body, err := os.ReadFile("../../docs/conformance.md"); err != nil || !strings.Contains(string(body), tableHead) {
		t.Errorf("docs/conformance.md has no table with the head %q (%v)", tableHead, err)
	}
}

func TestMeter(t *testing.T) {
	var log strings.Builder
	m := newMeter("sig-apps", 5, &log)
	defer m.close()
	printed := "Running\n••\n-----\n• [FAILED] [3.2 seconds]\n[sig-apps] Job [It] should run\n\n• [5 seconds]\nx\n"
	for _, r := range []byte(printed) { // in pieces that end anywhere
		if _, err := m.Write([]byte{r}); err != nil {
			t.Fatal(err)
		}
	}
	if log.String() != printed {
		t.Errorf("passed on %q", log.String())
	}
	if m.done != 4 || m.failed != 1 {
		t.Errorf("done %d, failed %d, want 4 and 1", m.done, m.failed)
	}
}

func TestAreas(t *testing.T) {
	specs := []spec{{area: "sig-node"}, {area: "sig-apps"}, {area: "sig-node"}}
	all, err := (&flags{}).areas(specs)
	if err != nil || fmt.Sprint(all) != "[sig-apps sig-node]" {
		t.Errorf("areas = %v, %v", all, err)
	}
	if _, err := (&flags{Area: []string{"sig-none"}}).areas(specs); err == nil || !strings.Contains(err.Error(), "there are: sig-apps, sig-node") {
		t.Errorf("an area that is not there: %v", err)
	}
	if _, err := (&flags{}).areas(nil); err == nil {
		t.Error("no specs at all are fine")
	}
}

func TestToolsSayTheirVersion(t *testing.T) {
	want := "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
	if got := (&tools{version: "v1.37.2"}).stamp(); got != want {
		t.Errorf("flags = %s", got)
	}
}

// The suite is that of the Kubernetes whose code this is.
func TestTheSuiteIsOfOurMinor(t *testing.T) {
	ours, err1 := os.ReadFile("../../go.mod")
	theirs, err2 := os.ReadFile("../../" + module + "/go.mod")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	api := regexp.MustCompile(`k8s.io/api v0\.(\d+)`).FindSubmatch(ours)
	suite := regexp.MustCompile(`k8s.io/kubernetes v1\.(\d+)`).FindSubmatch(theirs)
	if api == nil || suite == nil || string(api[1]) != string(suite[1]) {
		t.Errorf("go.mod has k8s.io/api of %q, the suite is of %q", api, suite)
	}
}
