package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// kubectlVerbs are kubectl's commands, of version 1.34. One that we have not got
// has a word in elsewhere.
var kubectlVerbs = strings.Fields(`annotate api-resources api-versions apply attach auth autoscale certificate
	cluster-info completion config cordon cp create debug delete describe diff drain edit events exec explain expose get
	kustomize label logs options patch plugin port-forward proxy replace rollout run scale set taint top uncordon version wait`)

func verbTable() string {
	have := verbs()
	var same []string
	for _, v := range kubectlVerbs {
		if have[v] {
			same = append(same, "`"+v+"`")
		}
	}
	return "\n" + strings.Join(same, ", ") + ".\n\n"
}

// Every verb of kubectl is there, or somebody who types it learns what to do.
func TestKubectlVerbsAreThereOrTold(t *testing.T) {
	have := verbs()
	for _, v := range kubectlVerbs {
		if !have[v] && elsewhere[v] == "" {
			t.Errorf("%s: neither a verb nor in elsewhere", v)
		}
	}
}

// The page for those who know kubectl is true as far as a test can tell: what it
// shows can be typed, and the stories that it names are there.
func TestComingFromKubectl(t *testing.T) {
	b, err := os.ReadFile("../../docs/coming-from-kubectl.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, code := range regexp.MustCompile("`[^`]+`").FindAllString(string(b), -1) {
		_, line, ok := strings.Cut(strings.Trim(code, "`"), "stave ")
		if !ok || strings.Contains(code, "cmd/stave") || strings.Contains(code, "seq 48211") {
			continue
		}
		words, err := shellWords(line)
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		if _, err := parsed(t, words...); err != nil && !os.IsNotExist(err) {
			t.Errorf("%s: %v", code, err)
		}
		shown++
	}
	stories, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, row := range regexp.MustCompile(`(?m)^\|.*\| ([a-z]+) \|$`).FindAllStringSubmatch(string(b), -1) {
		if row[1] == "story" || row[1] == "meanwhile" {
			continue // heads of tables
		}
		if !slices.Contains(stories, "testdata/script/"+row[1]+".txtar") {
			t.Errorf("there is no story %s", row[1])
		}
		told++
	}
	if shown < 20 || told < 15 {
		t.Errorf("%d commands and %d stories found: the page is read wrongly", shown, told)
	}
}
