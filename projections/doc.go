// Package projections folds events into state: Apply(State, Envelope) → State.
//
// It is pure. A State is a value made of immutable trees, so keeping an old one
// costs nothing, and whoever reads one never sees it change. What can be
// derived (status, endpoints, usage) is computed from base facts, never stored
// as an event.
package projections
