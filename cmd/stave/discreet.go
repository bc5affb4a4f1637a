package main

import (
	"strings"

	"github.com/stave-run/stave/events"
)

// unsaid stands for a value that is not kept with the events.
const unsaid = "…"

// tellers are the flags whose values hold what a Secret holds.
var tellers = map[string]bool{"--from-literal": true, "--patch": true, "-p": true, "--docker-password": true}

// discreet leaves the values of Secrets out of a command line: it is kept with the
// events for ever, and anybody may read it who reads them.
func discreet(argv []string) []string {
	if !aboutSecrets(argv) {
		return argv
	}
	out := make([]string, len(argv))
	hide := ""
	for i, a := range argv {
		name, _, has := strings.Cut(a, "=")
		switch {
		case hide != "":
			a, hide = hidden(hide, a), ""
		case tellers[a]:
			hide = a
		case has && tellers[name]:
			a = name + "=" + hidden(name, a[len(name)+1:])
		case strings.HasPrefix(a, "-p") && len(a) > 2:
			a = "-p" + unsaid
		}
		out[i] = a
	}
	return out
}

// hidden keeps of a literal which key it is for.
func hidden(flag, value string) string {
	if key, _, ok := strings.Cut(value, "="); ok && flag == "--from-literal" {
		return key + "=" + unsaid
	}
	return unsaid
}

// aboutSecrets tells whether a word of a command line is Secrets, or one of them.
func aboutSecrets(argv []string) bool {
	for _, a := range argv {
		for word := range strings.SplitSeq(a, ",") {
			typed, _, _ := strings.Cut(word, "/")
			if k, ok := events.KindNamed(typed); ok && k.Resource == events.Secrets {
				return true
			}
		}
	}
	return false
}
