// Package policy turns NetworkPolicies into the rows by which the node's programs judge packets. It is pure: what is in
// force is a value, and what to write is the difference to it.
//
// A pod that no policy selects has no row. One that is selected has, for each direction in which it is isolated, the number
// of a set: what the policies that select it allow together. A set says for each protocol and port which class of peers may
// be spoken with, a class which addresses are in it. Both are found by longest prefix, so a range of ports or a network
// costs as much as a single one.
//
// What the words mean is told in https://kubernetes.io/docs/concepts/services-networking/network-policies.
package policy

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"
)

// Proto is an IP protocol's number. Other stands for those without ports.
type Proto uint8

// The protocols that rules may name, and all others.
const (
	Other Proto = 0
	TCP   Proto = 6
	UDP   Proto = 17
	SCTP  Proto = 132
)

// protos are all that a set has rows for.
var protos = []Proto{Other, TCP, UDP, SCTP}

// Policy is one NetworkPolicy with what its selectors of peers stand for now.
type Policy struct {
	Namespace, Name string
	Version         string          // of its spec: rules that are others have another
	Selector        labels.Selector // of the pods of its namespace that it isolates
	// Ingress and Egress are what may come and go; nil where the policy does not isolate in that direction.
	Ingress, Egress *Rules
}

// Rules each allow something; none of them allow nothing.
type Rules []Rule

// Rule allows all of its peers on all of its ports.
type Rule struct {
	Anyone bool
	Hosts  []Host
	Blocks []Block
	// AnyPort is every port of every protocol; else it is Ports and Named.
	AnyPort bool
	Ports   []Ports
	Named   []Name
}

// Host is a pod among a rule's peers. Ports are those of its named ports that rules speak of.
type Host struct {
	Addr  netip.Addr
	Ports map[Name]uint16
}

// Block is a network without some of its parts.
type Block struct {
	CIDR   netip.Prefix
	Except []netip.Prefix
}

// Ports is a range with both of its ends.
type Ports struct {
	Proto       Proto
	First, Last uint16
}

// Name is a container port's name, which says a number pod by pod.
type Name struct {
	Proto Proto
	Name  string
}

// Pod is a pod of this node.
type Pod struct {
	Link      uint32 // the number of the node's end of its link
	Namespace string
	Labels    map[string]string
	Ports     map[Name]uint16
}
