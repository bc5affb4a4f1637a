// Package dns is the cluster's name server: it answers for services from the rows of the
// network feed, and hands everything else on to the node's own name servers.
//
// It runs on every node and listens on an address that only the node and its pods can
// reach. Pods ask the cluster DNS service's address; for the dataplane that is a service
// like any other, whose one endpoint on each node is this server.
//
// What a row answers is decided in zone.go, without sockets and without a clock.
package dns
