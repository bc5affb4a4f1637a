package manifest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateLives checks what a pod's containers say of their lives: probes, hooks, and what follows their ends.
func validateLives(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range s.InitContainers {
		c, here := &s.InitContainers[i], at.Child("initContainers").Index(i)
		errs = append(errs, validateRestart(c, here)...)
		if sidecar(c) {
			errs = append(errs, validateLife(c, s, here)...)
		} else {
			errs = append(errs, validateOnce(c, here)...)
		}
	}
	for i := range s.Containers {
		c, here := &s.Containers[i], at.Child("containers").Index(i)
		errs = append(errs, validateLife(c, s, here)...)
		errs = append(errs, validateRestart(c, here)...)
	}
	return errs
}

// validateOnce refuses what makes no sense for a container that runs to its end before the next begins.
func validateOnce(c *corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		set  bool
	}{{"lifecycle", c.Lifecycle != nil}, {"livenessProbe", c.LivenessProbe != nil}, {"readinessProbe", c.ReadinessProbe != nil}, {"startupProbe", c.StartupProbe != nil}} {
		if f.set {
			errs = append(errs, field.Forbidden(at.Child(f.name), "may not be set for init containers without restartPolicy=Always"))
		}
	}
	return errs
}

func validateLife(c *corev1.Container, s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if l := c.Lifecycle; l != nil {
		errs = append(errs, validateHook(l.PostStart, s, at.Child("lifecycle", "postStart"))...)
		errs = append(errs, validateHook(l.PreStop, s, at.Child("lifecycle", "preStop"))...)
	}
	for _, p := range []struct {
		name string
		*corev1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"startupProbe", c.StartupProbe}} {
		errs = append(errs, validateProbe(p.Probe, at.Child(p.name))...)
		if p.Probe != nil && p.SuccessThreshold != 1 {
			errs = append(errs, field.Invalid(at.Child(p.name, "successThreshold"), p.SuccessThreshold, "must be 1"))
		}
	}
	errs = append(errs, validateProbe(c.ReadinessProbe, at.Child("readinessProbe"))...)
	if p := c.ReadinessProbe; p != nil && p.TerminationGracePeriodSeconds != nil {
		errs = append(errs, field.Invalid(at.Child("readinessProbe", "terminationGracePeriodSeconds"), *p.TerminationGracePeriodSeconds, "must not be set for readinessProbes"))
	}
	return errs
}

func validateProbe(p *corev1.Probe, at *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateActions(p.Exec, p.HTTPGet, p.TCPSocket, at)
	handlers := handlersIn(p.Exec != nil, p.HTTPGet != nil, p.TCPSocket != nil, p.GRPC != nil)
	if g := p.GRPC; g != nil {
		errs = invalid(errs, at.Child("grpc", "port"), g.Port, validation.IsValidPortNum(int(g.Port)))
	}
	errs = append(errs, oneHandler(handlers, at)...)
	for _, n := range []struct {
		name  string
		value int32
	}{{"initialDelaySeconds", p.InitialDelaySeconds}, {"timeoutSeconds", p.TimeoutSeconds}, {"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold}, {"failureThreshold", p.FailureThreshold}} {
		errs = notNegative(errs, at.Child(n.name), int64(n.value))
	}
	if g := p.TerminationGracePeriodSeconds; g != nil && *g <= 0 {
		errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), *g, "must be greater than 0"))
	}
	return errs
}

func validateHook(h *corev1.LifecycleHandler, s *corev1.PodSpec, at *field.Path) field.ErrorList {
	if h == nil {
		return nil
	}
	errs := validateActions(h.Exec, h.HTTPGet, h.TCPSocket, at)
	errs = append(errs, oneHandler(handlersIn(h.Exec != nil, h.HTTPGet != nil, h.TCPSocket != nil, h.Sleep != nil), at)...)
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if g := s.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	if h.Sleep != nil && (h.Sleep.Seconds < 0 || h.Sleep.Seconds > grace) {
		errs = append(errs, field.Invalid(at.Child("sleep"), h.Sleep.Seconds, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", grace)))
	}
	return errs
}

func handlersIn(set ...bool) int {
	n := 0
	for _, is := range set {
		if is {
			n++
		}
	}
	return n
}

func oneHandler(n int, at *field.Path) field.ErrorList {
	switch {
	case n == 0:
		return field.ErrorList{field.Required(at, "must specify a handler type")}
	case n > 1:
		return field.ErrorList{field.Forbidden(at, "may not specify more than 1 handler type")}
	}
	return nil
}

// validateActions checks what probes and hooks have in common.
func validateActions(e *corev1.ExecAction, g *corev1.HTTPGetAction, t *corev1.TCPSocketAction, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e != nil && len(e.Command) == 0 {
		errs = append(errs, field.Required(at.Child("exec", "command"), ""))
	}
	if g != nil {
		here := at.Child("httpGet")
		if g.Path == "" {
			errs = append(errs, field.Required(here.Child("path"), ""))
		}
		errs = append(errs, validatePort(g.Port, here.Child("port"))...)
		errs = oneOf(errs, here.Child("scheme"), g.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS)
		for i, h := range g.HTTPHeaders {
			errs = invalid(errs, here.Child("httpHeaders").Index(i).Child("name"), h.Name, validation.IsHTTPHeaderName(h.Name))
		}
	}
	if t != nil {
		errs = append(errs, validatePort(t.Port, at.Child("tcpSocket", "port"))...)
	}
	return errs
}

func validatePort(p intstr.IntOrString, at *field.Path) field.ErrorList {
	if p.Type == intstr.String {
		return invalid(nil, at, p.StrVal, validation.IsValidPortName(p.StrVal))
	}
	return invalid(nil, at, p.IntVal, validation.IsValidPortNum(int(p.IntVal)))
}
