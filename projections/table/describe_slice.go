package table

import (
	"fmt"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// slice tells of an EndpointSlice: its ports, and each address with the pod behind it.
func (p page) slice(o *discoveryv1.EndpointSlice) {
	p.meta(o)
	p.line(0, "AddressType:\t%s", o.AddressType)
	if len(o.Ports) == 0 {
		p.line(0, "Ports:\t<unset>")
	} else {
		p.line(0, "Ports:")
		p.line(1, "Name\tPort\tProtocol")
		p.line(1, "----\t----\t--------")
	}
	for _, port := range o.Ports {
		number := "<unset>"
		if port.Port != nil {
			number = fmt.Sprint(*port.Port)
		}
		p.line(1, "%s\t%s\t%s", orUnset(port.Name), number, orUnset(port.Protocol))
	}
	if len(o.Endpoints) == 0 {
		p.line(0, "Endpoints:\t%s", none)
		return
	}
	p.line(0, "Endpoints:")
	for _, e := range o.Endpoints {
		p.line(1, "- Addresses:\t%s", orNone(strings.Join(e.Addresses, ",")))
		p.line(2, "Conditions:")
		ready := "<unset>"
		if e.Conditions.Ready != nil {
			ready = fmt.Sprint(*e.Conditions.Ready)
		}
		p.line(3, "Ready:\t%s", ready)
		p.line(2, "Hostname:\t%s", orUnset(e.Hostname))
		if e.TargetRef != nil {
			p.line(2, "TargetRef:\t%s/%s", e.TargetRef.Kind, e.TargetRef.Name)
		}
		p.line(2, "NodeName:\t%s", orUnset(e.NodeName))
		p.line(2, "Zone:\t%s", orUnset(e.Zone))
	}
}

// orUnset is what a pointer points to, or that nothing was set.
func orUnset[T ~string](s *T) string {
	if s == nil || *s == "" {
		return "<unset>"
	}
	return string(*s)
}
