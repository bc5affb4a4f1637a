// Package run drives the reconcilers: an event wakes keys, each key is decided
// on the ahead view, and what was decided is appended.
//
// Step is the whole of it without goroutines, clock or network, so that the
// simulation drives the very same code. Loop is the thin shell around a Step:
// it holds the lease, waits for its own appends to be folded, and lets people's
// requests in between decisions, so that there is one writer. Observer turns
// heartbeats into facts about nodes.
package run
