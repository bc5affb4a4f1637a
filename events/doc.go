// Package events is Stave's vocabulary: the envelope every event travels in,
// the typed ids, the subjects, and one file per noun with the bodies.
//
// It is pure: no clock, no randomness, no I/O. Events are past tense and for
// ever; a body that changes shape gets a new schema version and an upcast, and
// a frozen sample of every version lives in testdata.
package events
