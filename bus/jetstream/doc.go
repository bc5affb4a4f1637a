// Package jetstream is the log on an embedded NATS server, and the wires of its
// connections. It is the only package that knows NATS.
//
// One file-backed stream, LOG, holds every event. The server itself syncs its
// files every few minutes; this package does it for each group of appends and
// keeps the watermark below which a power cut takes nothing. A small file beside
// the store remembers the watermark, so that the next start can tell a lost tail
// (erased before anything folds) from a damaged store (refused, by name).
//
// Join opens a log that the members of a NATS cluster keep instead: there an
// acknowledgement is the watermark, and nothing of the store is ours.
//
// The server listens on loopback only and takes nobody without a credential.
package jetstream
