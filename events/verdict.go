package events

import "strings"

// Code names why something does not move, in Kubernetes' words where it has some.
type Code string

// FailedCreate is the code of a set that must not make a pod; Said has the refusal.
const FailedCreate Code = "FailedCreate"

// Rejected is the code of a pod that names its node, which has no room for it: What is the word of a kubelet for that, Said
// its sentence. The node is given the pod and fails it.
const Rejected Code = "Rejected"

// Reason is one typed piece of an explanation; it becomes words only at a printer.
type Reason struct {
	Code  Code   `json:"code"`
	About Key    `json:"about,omitzero"` // the node or object that said no
	What  string `json:"what,omitempty"` // the resource, label, taint or image in question
	Need  string `json:"need,omitempty"` // what was asked for
	Have  string `json:"have,omitempty"` // what there was
	Fix   string `json:"fix,omitempty"`  // the nearest change that would help
	Said  string `json:"said,omitempty"` // somebody else's words: a registry's, a kernel's
}

// String is the reason in one line.
func (r Reason) String() string {
	var b strings.Builder
	if !r.About.IsZero() {
		b.WriteString(r.About.Name + ": ")
	}
	b.WriteString(string(r.Code))
	for _, p := range []struct{ lead, text string }{{" ", r.What}, {", need ", r.Need}, {", have ", r.Have}, {": ", r.Said}, {" (", r.Fix}} {
		if p.text != "" {
			b.WriteString(p.lead + p.text)
		}
	}
	if r.Fix != "" {
		b.WriteByte(')')
	}
	return b.String()
}

// Verdict says why an object does not move; appended only when the codes change.
// The numbers in the reasons are those of the moment: Decide gives today's.
type Verdict struct {
	UID     UID      `json:"uid"`
	Reasons []Reason `json:"reasons"` // empty: nothing holds it any more
}
