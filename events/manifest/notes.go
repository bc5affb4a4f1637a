package manifest

import (
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateLease finds what is wrong with a lease, as Kubernetes does.
func ValidateLease(l *coordinationv1.Lease) field.ErrorList {
	errs := validateMeta(l, validation.IsDNS1123Subdomain)
	at := field.NewPath("spec")
	if n := l.Spec.LeaseDurationSeconds; n != nil && *n <= 0 {
		errs = append(errs, field.Invalid(at.Child("leaseDurationSeconds"), *n, "must be greater than 0"))
	}
	if n := l.Spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(at.Child("leaseTransitions"), *n, "must be greater than or equal to 0"))
	}
	if s := l.Spec.Strategy; s != nil {
		errs = invalid(errs, at.Child("strategy"), *s, validation.IsQualifiedName(string(*s)))
	}
	if l.Spec.PreferredHolder != nil && l.Spec.Strategy == nil {
		errs = append(errs, field.Forbidden(at.Child("preferredHolder"), "may only be specified when `strategy` is defined"))
	}
	return errs
}

// The bounds of an event's texts, in bytes, as Kubernetes has them.
const (
	maxEventText = 128
	maxEventNote = 1024
)

// ValidateEvent finds what is wrong with a core/v1 event. One with an eventTime is
// held to more, as it comes from a client that knows the new API.
func ValidateEvent(e *corev1.Event) field.ErrorList {
	errs := append(validateMeta(e, validation.IsDNS1123Subdomain), eventNamespace(e)...)
	if e.EventTime.IsZero() {
		return errs
	}
	return append(errs, eventTexts(e, "reportingComponent", "message")...)
}

// ValidateNewEvent finds what is wrong with an event that came by events.k8s.io/v1.
func ValidateNewEvent(e *corev1.Event) field.ErrorList {
	errs := append(validateMeta(e, validation.IsDNS1123Subdomain), eventNamespace(e)...)
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(field.NewPath("type"), e.Type, "has invalid value"))
	}
	if !e.FirstTimestamp.IsZero() {
		errs = append(errs, field.Invalid(field.NewPath("firstTimestamp"), "", "needs to be unset"))
	}
	if !e.LastTimestamp.IsZero() {
		errs = append(errs, field.Invalid(field.NewPath("lastTimestamp"), "", "needs to be unset"))
	}
	if e.Count != 0 {
		errs = append(errs, field.Invalid(field.NewPath("count"), e.Count, "needs to be unset"))
	}
	if e.Source.Component != "" || e.Source.Host != "" {
		errs = append(errs, field.Invalid(field.NewPath("source"), "", "needs to be unset"))
	}
	if s := e.Series; s != nil {
		if s.Count < 2 {
			errs = append(errs, field.Invalid(field.NewPath("series", "count"), s.Count, "should be at least 2"))
		}
		if s.LastObservedTime.IsZero() {
			errs = append(errs, field.Required(field.NewPath("series", "lastObservedTime"), ""))
		}
	}
	return append(errs, eventTexts(e, "reportingController", "note")...)
}

// eventNamespace wants an event where what it is about is; of what is in no
// namespace it is told in the default one.
func eventNamespace(e *corev1.Event) field.ErrorList {
	about := e.InvolvedObject.Namespace
	fits := about == e.Namespace
	if about == "" {
		fits = e.Namespace == metav1.NamespaceDefault || e.Namespace == metav1.NamespaceSystem
	}
	if fits {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("involvedObject", "namespace"), about, "does not match event.namespace")}
}

func eventTexts(e *corev1.Event, controller, note string) field.ErrorList {
	var errs field.ErrorList
	if e.ReportingController == "" {
		errs = append(errs, field.Required(field.NewPath(controller), ""))
	} else {
		errs = invalid(errs, field.NewPath(controller), e.ReportingController, validation.IsQualifiedName(strings.ToLower(e.ReportingController)))
	}
	for _, x := range []struct{ name, text string }{{"reportingInstance", e.ReportingInstance}, {"action", e.Action}, {"reason", e.Reason}} {
		if x.text == "" {
			errs = append(errs, field.Required(field.NewPath(x.name), ""))
		}
		if len(x.text) > maxEventText {
			errs = append(errs, field.Invalid(field.NewPath(x.name), "", "can have at most 128 characters"))
		}
	}
	if len(e.Message) > maxEventNote {
		errs = append(errs, field.Invalid(field.NewPath(note), "", "can have at most 1024 characters"))
	}
	return errs
}

// ValidateNewEventUpdate finds what may not be changed of an event by events.k8s.io/v1.
func ValidateNewEventUpdate(next, old *corev1.Event) field.ErrorList {
	errs := append(validateMeta(next, validation.IsDNS1123Subdomain), eventNamespace(next)...)
	same := func(name string, is bool) {
		if !is {
			errs = append(errs, field.Invalid(field.NewPath(name), "", "field is immutable"))
		}
	}
	same("involvedObject", next.InvolvedObject == old.InvolvedObject)
	same("reason", next.Reason == old.Reason)
	same("message", next.Message == old.Message)
	same("firstTimestamp", next.FirstTimestamp.Equal(&old.FirstTimestamp))
	same("lastTimestamp", next.LastTimestamp.Equal(&old.LastTimestamp))
	same("count", next.Count == old.Count)
	same("type", next.Type == old.Type)
	same("eventTime", next.EventTime.Equal(&old.EventTime))
	same("action", next.Action == old.Action)
	same("related", (next.Related == nil) == (old.Related == nil) && (next.Related == nil || *next.Related == *old.Related))
	same("reportingController", next.ReportingController == old.ReportingController)
	same("reportingInstance", next.ReportingInstance == old.ReportingInstance)
	return errs
}
