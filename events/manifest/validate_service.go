package manifest

import (
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The ports that services may have on nodes.
const (
	FirstNodePort int32 = 30000
	LastNodePort  int32 = 32767
)

func validateService(svc *corev1.Service) field.ErrorList {
	s, at := &svc.Spec, field.NewPath("spec")
	errs := oneOf(nil, at.Child("type"), s.Type, corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
		corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)
	errs = oneOf(errs, at.Child("sessionAffinity"), s.SessionAffinity, corev1.ServiceAffinityNone, corev1.ServiceAffinityClientIP)
	errs = append(errs, validateLabels(s.Selector, at.Child("selector"))...)
	errs = append(errs, validateServicePorts(s, at.Child("ports"))...)
	if s.Type == corev1.ServiceTypeExternalName {
		errs = append(errs, validateExternalName(s, at)...)
	} else {
		if len(s.Ports) == 0 && s.ClusterIP != corev1.ClusterIPNone {
			errs = append(errs, field.Required(at.Child("ports"), ""))
		}
		errs = append(errs, validateClusterIP(s, at)...)
	}
	if c := s.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		const day = 86400
		if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > day {
			errs = append(errs, field.Invalid(at.Child("sessionAffinityConfig", "clientIP", "timeoutSeconds"), t, "must be greater than 0 and less than 86400"))
		}
	}
	errs = append(errs, validateExternalIPs(s.ExternalIPs, at.Child("externalIPs"))...)
	return append(append(errs, validateBalancer(s, at)...), validateTraffic(s, at)...)
}

func validateExternalIPs(all []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, ip := range all {
		if a, err := netip.ParseAddr(ip); err != nil {
			errs = append(errs, field.Invalid(at.Index(i), ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
		} else {
			errs = append(errs, ordinary(a, at.Index(i))...)
		}
	}
	return errs
}

// validateBalancer is about what is for load balancers alone.
func validateBalancer(s *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	const alone = "may only be used when `type` is 'LoadBalancer'"
	var errs field.ErrorList
	if s.Type == corev1.ServiceTypeLoadBalancer {
		if c := s.LoadBalancerClass; c != nil {
			errs = invalid(errs, at.Child("loadBalancerClass"), *c, validation.IsQualifiedName(*c))
		}
		return errs
	}
	if s.AllocateLoadBalancerNodePorts != nil {
		errs = append(errs, field.Forbidden(at.Child("allocateLoadBalancerNodePorts"), alone))
	}
	if s.LoadBalancerClass != nil {
		errs = append(errs, field.Forbidden(at.Child("loadBalancerClass"), alone))
	}
	return errs
}

// ReachedFromOutside tells whether a service is meant for clients that are no pods.
func ReachedFromOutside(s *corev1.ServiceSpec) bool {
	switch s.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeClusterIP, "":
		return len(s.ExternalIPs) > 0
	}
	return false
}

// NeedsHealthPort tells whether nodes have to tell a service's load balancer which of them have endpoints.
func NeedsHealthPort(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeLoadBalancer && s.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// validateTraffic is about how far a service's traffic goes.
func validateTraffic(s *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p := s.InternalTrafficPolicy; p != nil {
		errs = oneOf(errs, at.Child("internalTrafficPolicy"), *p, corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)
	}
	switch p := s.ExternalTrafficPolicy; {
	case ReachedFromOutside(s):
		errs = oneOf(errs, at.Child("externalTrafficPolicy"), p, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	case p != "":
		errs = append(errs, field.Invalid(at.Child("externalTrafficPolicy"), p, "may only be set for externally-accessible services"))
	}
	if p := s.TrafficDistribution; p != nil {
		errs = oneOf(errs, at.Child("trafficDistribution"), *p, corev1.ServiceTrafficDistributionPreferClose,
			corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode)
	}
	if s.HealthCheckNodePort != 0 && !NeedsHealthPort(s) {
		errs = append(errs, field.Invalid(at.Child("healthCheckNodePort"), s.HealthCheckNodePort,
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	return errs
}

func validateExternalName(s *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	const none = "may not be set for ExternalName services"
	if s.ClusterIP != "" || len(s.ClusterIPs) > 0 {
		errs = append(errs, field.Forbidden(at.Child("clusterIPs"), none))
	}
	if len(s.IPFamilies) > 0 {
		errs = append(errs, field.Forbidden(at.Child("ipFamilies"), none))
	}
	if s.IPFamilyPolicy != nil {
		errs = append(errs, field.Forbidden(at.Child("ipFamilyPolicy"), none))
	}
	name := strings.TrimSuffix(s.ExternalName, ".") // as of one that is whole
	if name == "" {
		return append(errs, field.Required(at.Child("externalName"), ""))
	}
	return invalid(errs, at.Child("externalName"), name, validation.IsDNS1123Subdomain(name))
}

func validateClusterIP(s *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.ClusterIP == corev1.ClusterIPNone {
		if s.Type != corev1.ServiceTypeClusterIP {
			errs = append(errs, field.Invalid(at.Child("clusterIPs").Index(0), s.ClusterIP, "may not be set to 'None' for "+string(s.Type)+" services"))
		}
	} else if s.ClusterIP != "" {
		if a, err := netip.ParseAddr(s.ClusterIP); err != nil || !a.Is4() {
			errs = append(errs, field.Invalid(at.Child("clusterIPs").Index(0), s.ClusterIP, "must be a valid IPv4 address"))
		}
	}
	if len(s.ClusterIPs) > 1 {
		errs = append(errs, field.Invalid(at.Child("clusterIPs"), s.ClusterIPs, "this cluster has one address family, may hold one value"))
	}
	if len(s.ClusterIPs) > 0 && s.ClusterIPs[0] != s.ClusterIP {
		errs = append(errs, field.Invalid(at.Child("clusterIPs"), s.ClusterIPs, "first value must match `clusterIP`"))
	}
	for i, f := range s.IPFamilies {
		if f != corev1.IPv4Protocol {
			errs = append(errs, field.Invalid(at.Child("ipFamilies").Index(i), f, "not configured on this cluster"))
		}
	}
	errs = oneOfPointed(errs, at.Child("ipFamilyPolicy"), s.IPFamilyPolicy, corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)
	if s.IPFamilyPolicy != nil && *s.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		errs = append(errs, field.Invalid(at.Child("ipFamilyPolicy"), *s.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
	}
	return errs
}

func validateServicePorts(s *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names, ports, nodePorts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, p := range s.Ports {
		here := at.Index(i)
		errs = append(errs, validateServicePort(&p, len(s.Ports) > 1, here)...)
		if p.Name != "" && names[p.Name] {
			errs = append(errs, field.Duplicate(here.Child("name"), p.Name))
		}
		names[p.Name] = true
		if id := portID(p.Port, p.Protocol); ports[id] {
			errs = append(errs, field.Duplicate(here, id))
		} else {
			ports[id] = true
		}
		if p.NodePort == 0 {
			continue
		}
		if s.Type == corev1.ServiceTypeClusterIP || s.Type == corev1.ServiceTypeExternalName {
			errs = append(errs, field.Forbidden(here.Child("nodePort"), "may not be used when `type` is '"+string(s.Type)+"'"))
		} else if p.NodePort < FirstNodePort || p.NodePort > LastNodePort {
			errs = append(errs, field.Invalid(here.Child("nodePort"), p.NodePort, "provided port is not in the valid range. The range of valid ports is 30000-32767"))
		}
		if id := portID(p.NodePort, p.Protocol); nodePorts[id] {
			errs = append(errs, field.Duplicate(here.Child("nodePort"), p.NodePort))
		} else {
			nodePorts[id] = true
		}
	}
	return errs
}

func portID(port int32, protocol corev1.Protocol) string {
	return strconv.Itoa(int(port)) + "/" + string(protocol)
}

func validateServicePort(p *corev1.ServicePort, named bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Name != "" {
		errs = invalid(errs, at.Child("name"), p.Name, validation.IsDNS1123Label(p.Name))
	} else if named {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	errs = invalid(errs, at.Child("port"), p.Port, validation.IsValidPortNum(int(p.Port)))
	errs = oneOf(errs, at.Child("protocol"), p.Protocol, protocols...)
	if a := p.AppProtocol; a != nil {
		errs = invalid(errs, at.Child("appProtocol"), *a, validation.IsQualifiedName(*a))
	}
	if p.TargetPort.Type == intstr.Int {
		return invalid(errs, at.Child("targetPort"), p.TargetPort.IntVal, validation.IsValidPortNum(int(p.TargetPort.IntVal)))
	}
	return invalid(errs, at.Child("targetPort"), p.TargetPort.StrVal, validation.IsValidPortName(p.TargetPort.StrVal))
}

var protocols = []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}
