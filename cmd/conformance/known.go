package main

import "strings"

// knownFailures are specs that fail or cannot run here, and why: the words of the table. The name is a part of the spec's.
var knownFailures = []struct{ name, why string }{
	{"Deployment deployment should support proportional scaling", "proportional scaling expects that good pods go for a template that never worked (ADR 13); the sizes of the sets that share a rollout are Kubernetes'"},
	{"Servers with support for API chunking should support continue listing from the last key if the original version has been compacted away", "continuing a list of a compacted version: it waits ten minutes for a token to expire, and they are good for as long as the log reaches back"},
	{"[sig-node] Pods should run through the lifecycle of Pods and PodStatus", "the lifecycle of Pods and PodStatus changes an image and expects the pod to be ready still milliseconds later: here it says at once that its container ended, or its services would send connections to it (of four runs one passed, on a loaded machine)"},
}

// known says why a spec fails; the empty string when nobody knows.
func known(spec string) string {
	for _, k := range knownFailures {
		if strings.Contains(spec, k.name) {
			return k.why
		}
	}
	return ""
}
