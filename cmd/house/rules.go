package main

import "fmt"

// Finding is one place that breaks a rule.
type Finding struct {
	File string // relative to the module's root
	Line int
	Rule string
	Text string // what is wrong and what to do instead
}

// String is FILE:LINE: RULE: TEXT, which editors can jump to.
func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Rule, f.Text) }

type rule struct {
	name  string
	check func(*Package) []Finding
}

// rules are all that the house has. Few, so that they are obeyed.
var rules = []rule{
	{"floors", floors},         // imports among our packages go down, and no shell knows another
	{"foreign", foreign},       // what pure packages may import from outside; who alone may import nats
	{"pure", pureStatements},   // no clock, randomness, I/O, goroutines, logging, locks in pure packages
	{"map-order", mapOrder},    // nothing in a pure package depends on the order of a map
	{"size", sizes},            // files of 400 lines, functions of 60
	{"doc", docs},              // every package and every exported name says what it is
	{"name", names},            // no drawer for odds and ends
	{"format", formatted},      // gofmt
	{"unfinished", unfinished}, // no marks of work left for later
}
