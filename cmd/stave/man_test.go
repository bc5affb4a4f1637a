package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// Each verb has a page that man takes without a complaint, and each verb of time
// shows a real case in it.
func TestManPages(t *testing.T) {
	var c cli
	model := newParser(&c, &terminal{out: &bytes.Buffer{}, err: &bytes.Buffer{}}).Model
	cases := 0
	for _, verb := range model.Leaves(true) {
		page := manPage(verb)
		for _, want := range []string{".SH NAME\n", ".SH SYNOPSIS\n", ".SH DESCRIPTION\n", ".SH EXAMPLES\n", ".SH OPTIONS\n"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %s", verb.Path(), want)
			}
		}
		if verb.Group != nil && verb.Group.Key == "Time" {
			cases++
			if !strings.Contains(page, ".SH A CASE\n") {
				t.Errorf("%s: no case", verb.Path())
			}
		}
	}
	if cases < 9 {
		t.Errorf("only %d verbs of time", cases)
	}
}

func TestManTakesThePages(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not here")
	}
	var c cli
	model := newParser(&c, &terminal{out: &bytes.Buffer{}, err: &bytes.Buffer{}}).Model
	cmd := exec.Command(groff, "-man", "-Tutf8", "-Kutf8", "-ww", "-rLL=200n")
	var page strings.Builder
	for _, name := range []string{"undo", "why", "rollout", "replay"} {
		page.WriteString(manPage(child(model.Node, name)))
	}
	cmd.Stdin = strings.NewReader(page.String())
	var said bytes.Buffer
	cmd.Stderr = &said
	if out, err := cmd.Output(); err != nil || said.Len() > 0 || !bytes.Contains(out, []byte("stave undo kolynsmr")) {
		t.Errorf("%v: %s\n%s", err, said.String(), out)
	}
}
