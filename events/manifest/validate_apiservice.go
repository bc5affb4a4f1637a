package manifest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
)

// apiServicePort is where an API server listens whose port is not named.
const apiServicePort = 443

// The bounds of priorities, as in Kubernetes.
const (
	maxGroupPriority   = 20000
	maxVersionPriority = 1000
)

func defaultAPIService(o events.Object) {
	if a, ok := o.(*apiregistrationv1.APIService); ok && a.Spec.Service != nil {
		pointTo(&a.Spec.Service.Port, apiServicePort)
	}
}

// apiServiceName is the rule for the names of APIServices: each says what it serves, so that there is one of it.
func apiServiceName(s *apiregistrationv1.APIServiceSpec) rule {
	return func(name string) []string {
		if said := pathSegment(name); len(said) > 0 {
			return said
		}
		if want := s.Version + "." + s.Group; name != want {
			return []string{fmt.Sprintf("must be `spec.version+\".\"+spec.group`: %q", want)}
		}
		return nil
	}
}

func validateAPIService(o events.Object) field.ErrorList {
	a, ok := o.(*apiregistrationv1.APIService)
	if !ok {
		return nil
	}
	at, s := field.NewPath("spec"), &a.Spec
	errs := validateServed(s, at)
	if s.GroupPriorityMinimum <= 0 || s.GroupPriorityMinimum > maxGroupPriority {
		errs = append(errs, field.Invalid(at.Child("groupPriorityMinimum"), s.GroupPriorityMinimum, "must be positive and less than 20000"))
	}
	if s.VersionPriority <= 0 || s.VersionPriority > maxVersionPriority {
		errs = append(errs, field.Invalid(at.Child("versionPriority"), s.VersionPriority, "must be positive and less than 1000"))
	}
	if s.Service == nil {
		return append(errs, validateLocal(s, at)...)
	}
	to := at.Child("service")
	if s.Service.Namespace == "" {
		errs = append(errs, field.Required(to.Child("namespace"), ""))
	}
	if s.Service.Name == "" {
		errs = append(errs, field.Required(to.Child("name"), ""))
	}
	if p := s.Service.Port; p != nil {
		if said := validation.IsValidPortNum(int(*p)); said != nil {
			errs = append(errs, field.Invalid(to.Child("port"), *p, "port is not valid: "+strings.Join(said, ", ")))
		}
	}
	if s.InsecureSkipTLSVerify && len(s.CABundle) > 0 {
		errs = append(errs, field.Invalid(at.Child("insecureSkipTLSVerify"), s.InsecureSkipTLSVerify, "may not be true if caBundle is present"))
	}
	return append(errs, validateRoots(s.CABundle, at.Child("caBundle"))...)
}

// validateLocal is the rule for one that names no service: what it is about is served here.
func validateLocal(s *apiregistrationv1.APIServiceSpec, at *field.Path) field.ErrorList {
	if !events.Served(schema.GroupVersion{Group: s.Group, Version: s.Version}.String()) {
		// Kubernetes takes it as a wish to serve the group itself, and answers 404.
		return field.ErrorList{field.Required(at.Child("service"), "this group and version is not served here: name the service of the API server that does")}
	}
	var errs field.ErrorList
	if len(s.CABundle) > 0 {
		errs = append(errs, field.Invalid(at.Child("caBundle"), fmt.Sprintf("%d bytes", len(s.CABundle)), "local APIServices may not have a caBundle"))
	}
	if s.InsecureSkipTLSVerify {
		errs = append(errs, field.Invalid(at.Child("insecureSkipTLSVerify"), s.InsecureSkipTLSVerify, "local APIServices may not have insecureSkipTLSVerify"))
	}
	return errs
}

// validateServed wants a group and a version that a path can name.
func validateServed(s *apiregistrationv1.APIServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case s.Group == "" && s.Version != "v1":
		errs = append(errs, field.Required(at.Child("group"), "only v1 may have an empty group and it better be legacy kube"))
	case s.Group != "":
		errs = invalid(errs, at.Child("group"), s.Group, validation.IsDNS1123Subdomain(s.Group))
	}
	return invalid(errs, at.Child("version"), s.Version, validation.IsDNS1035Label(s.Version))
}

// validateRoots wants certificates, or nothing: who can read none of them trusts nobody.
func validateRoots(bundle []byte, at *field.Path) field.ErrorList {
	found := false
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return field.ErrorList{field.Invalid(at, "<value omitted>", "unable to load root certificates: "+err.Error())}
		}
		found = true
	}
	if len(bundle) > 0 && !found {
		return field.ErrorList{field.Invalid(at, "<value omitted>", "unable to load root certificates: unable to parse bytes as PEM block")}
	}
	return nil
}

// APIServiceStatus says what is wrong with what was found of an API server.
func APIServiceStatus(s *apiregistrationv1.APIServiceStatus) field.ErrorList {
	var errs field.ErrorList
	for i, c := range s.Conditions {
		errs = oneOf(errs, field.NewPath("status", "conditions").Index(i).Child("status"), c.Status,
			apiregistrationv1.ConditionTrue, apiregistrationv1.ConditionFalse, apiregistrationv1.ConditionUnknown)
	}
	return errs
}
