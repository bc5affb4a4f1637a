// Package plan decides what to write into the dataplane's kernel tables.
//
// The kernel side looks a connection up in three steps: frontend (address, port,
// protocol) → id, id → extent (base, count), extent → backends. The steps are
// laid out so that a service's whole backend set changes by one 64-bit store:
// new backends go into an unused extent first, then the entry is pointed at it.
// This package keeps the model of those tables ([Written]), compares it with the
// services that should exist, and returns the writes, each of which prints itself.
//
// Two promises hold after every single write, not only after the last one:
// a frontend that had backends before a change and has some after it is never
// without; and an extent that a running program may still be reading is not
// written again before [Quarantine] has passed.
//
// The package is pure: time comes in as an argument and nothing depends on the
// order of a map.
package plan
