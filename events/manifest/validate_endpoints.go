package manifest

//lint:file-ignore SA1019 people still write Endpoints

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// How much a slice may hold, as in Kubernetes.
const (
	maxEndpoints     = 1000
	maxAddresses     = 100
	maxEndpointPorts = 20000
)

func defaultEndpoints(e *corev1.Endpoints) {
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			setTo(&e.Subsets[i].Ports[j].Protocol, corev1.ProtocolTCP)
		}
	}
}

func validateEndpoints(subsets []corev1.EndpointSubset, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range subsets {
		s, here := &subsets[i], at.Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(here, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j := range s.Addresses {
			errs = append(errs, validateEndpointAddress(&s.Addresses[j], here.Child("addresses").Index(j))...)
		}
		for j := range s.NotReadyAddresses {
			errs = append(errs, validateEndpointAddress(&s.NotReadyAddresses[j], here.Child("notReadyAddresses").Index(j))...)
		}
		for j, p := range s.Ports {
			port := here.Child("ports").Index(j)
			if p.Name == "" && len(s.Ports) > 1 {
				errs = append(errs, field.Required(port.Child("name"), ""))
			}
			errs = append(errs, validateEndpointPort(p.Name, &p.Port, &p.Protocol, p.AppProtocol, port)...)
		}
	}
	return errs
}

func validateEndpointAddress(a *corev1.EndpointAddress, at *field.Path) field.ErrorList {
	ip, err := netip.ParseAddr(a.IP)
	if err != nil {
		return field.ErrorList{field.Invalid(at.Child("ip"), a.IP, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")}
	}
	var errs field.ErrorList
	if a.Hostname != "" {
		errs = invalid(errs, at.Child("hostname"), a.Hostname, validation.IsDNS1123Label(a.Hostname))
	}
	if a.NodeName != nil {
		errs = invalid(errs, at.Child("nodeName"), *a.NodeName, validation.IsDNS1123Subdomain(*a.NodeName))
	}
	return append(errs, ordinary(ip, at.Child("ip"))...)
}

// ordinary refuses addresses behind which there is no service but the machine itself,
// or nobody: who may write endpoints must not reach what listens there.
func ordinary(ip netip.Addr, at *field.Path) field.ErrorList {
	ip = ip.Unmap()
	what := ""
	switch {
	case ip.IsUnspecified():
		what = "may not be unspecified (" + ip.String() + ")"
	case ip.IsLoopback():
		what = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
	case ip.IsLinkLocalUnicast():
		what = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
	case ip.IsLinkLocalMulticast():
		what = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
	case ip.IsMulticast():
		what = "may not be a multicast address"
	default:
		return nil
	}
	return field.ErrorList{field.Invalid(at, ip.String(), what)}
}

func validateEndpointPort(name string, port *int32, protocol *corev1.Protocol, spoken *string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name != "" {
		errs = invalid(errs, at.Child("name"), name, validation.IsDNS1123Label(name))
	}
	if port != nil {
		for _, m := range validation.IsValidPortNum(int(*port)) {
			errs = append(errs, field.Invalid(at.Child("port"), *port, m))
		}
	}
	if protocol != nil {
		errs = oneOf(errs, at.Child("protocol"), *protocol, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
	}
	if spoken != nil {
		errs = invalid(errs, at.Child("appProtocol"), *spoken, validation.IsQualifiedName(*spoken))
	}
	return errs
}

func validateSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	if s.AddressType == "" {
		return field.ErrorList{field.Required(field.NewPath("addressType"), "")}
	}
	errs := oneOf(nil, field.NewPath("addressType"), s.AddressType, discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6)
	at := field.NewPath("endpoints")
	if len(s.Endpoints) > maxEndpoints {
		errs = append(errs, field.TooMany(at, len(s.Endpoints), maxEndpoints))
	}
	for i := range s.Endpoints {
		errs = append(errs, validateEndpoint(&s.Endpoints[i], s.AddressType, at.Index(i))...)
	}
	ports := field.NewPath("ports")
	if len(s.Ports) > maxEndpointPorts {
		errs = append(errs, field.TooMany(ports, len(s.Ports), maxEndpointPorts))
	}
	seen := map[string]bool{}
	for i, p := range s.Ports {
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		if seen[name] {
			errs = append(errs, field.Duplicate(ports.Index(i).Child("name"), name))
		}
		seen[name] = true
		errs = append(errs, validateEndpointPort(name, p.Port, p.Protocol, p.AppProtocol, ports.Index(i))...)
	}
	return errs
}

func validateEndpoint(e *discoveryv1.Endpoint, family discoveryv1.AddressType, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	addresses := at.Child("addresses")
	switch n := len(e.Addresses); {
	case n == 0:
		errs = append(errs, field.Required(addresses, "must contain at least 1 address"))
	case n > maxAddresses:
		errs = append(errs, field.TooMany(addresses, n, maxAddresses))
	}
	for i, a := range e.Addresses {
		errs = append(errs, validateAddressOf(a, family, addresses.Index(i))...)
	}
	if e.Hostname != nil {
		errs = invalid(errs, at.Child("hostname"), *e.Hostname, validation.IsDNS1123Label(*e.Hostname))
	}
	if e.NodeName != nil {
		errs = invalid(errs, at.Child("nodeName"), *e.NodeName, validation.IsDNS1123Subdomain(*e.NodeName))
	}
	return errs
}

func validateAddressOf(a string, family discoveryv1.AddressType, at *field.Path) field.ErrorList {
	if family == discoveryv1.AddressTypeFQDN {
		return invalid(nil, at, a, validation.IsDNS1123Subdomain(a))
	}
	ip, err := netip.ParseAddr(a)
	switch {
	case err != nil || ip.Zone() != "":
		return field.ErrorList{field.Invalid(at, a, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")}
	case ip.Is4() != (family == discoveryv1.AddressTypeIPv4):
		return field.ErrorList{field.Invalid(at, a, "must be a valid "+string(family)+" address")}
	}
	return ordinary(ip, at)
}
