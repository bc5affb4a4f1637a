// Package vault keeps what is secret out of the log, which never forgets.
//
// The doors have the values of a Secret sealed before admission sees them, so
// that a Secret in the log, in a fold, in a plan or on a feed holds sealed values
// only (events.Seal), and admission refuses any other. Who may read a Secret gets
// it opened on its way out: people by the doors, a node by asking for those that
// its pods mention.
//
// Each Secret has a key of its own, random, in a file of its own, outside the
// log. A key lives as long as a Secret that it opens something of, and then for
// the undo window; --shred destroys it at once. With the key gone the values are
// gone from all of the past, and what the log keeps of them is an HMAC each, who
// set them, and when.
package vault
