// Package bustest is the conformance suite of package bus: what every log and
// every pair of wires must do, told as tests.
package bustest
