// Package podnet gives pods their link to the node, their address and their routes.
//
// A pod has one link, eth0, whose other end is on the node. There is no bridge: the node
// routes each pod's address to its link, and the pod sends everything to 169.254.1.1, an
// address that nobody has and whose neighbour entry is permanent, so that no ARP is ever
// asked or answered. The first address of the node's pod network is the node's own, on
// loopback: what the node sends to its pods comes from there, and services of the node
// for its pods (DNS) can listen on it without being open to the outside.
//
// Addresses are recorded as files, one each, so that a restart knows them and a pod keeps
// its own. Translation to the outside is done by package ebpf on the same links.
package podnet
