// Package kube is the Kubernetes HTTP API: kubectl, client-go and all that is
// built on them talk to Stave through it.
//
// Routing, discovery, OpenAPI and storage are ours; what a verb means is not:
// each is one of k8s.io/apiserver's handlers, given a storage that reads
// projections and hands changes to the one writer, through the same admission
// as every other door. So content types, tables, dry runs, field validation, the
// four kinds of patches and server-side apply are Kubernetes' own code.
//
// A resourceVersion is a position in the log, so a watch is the log's tail from
// there: the newest events are kept in a ring, older ones are folded again.
// A watch can go on from any position that the log still holds, also after a
// restart of the server, and one that is slow loses nothing.
package kube
