package kube

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
)

func checkLease(next, _ events.Object) field.ErrorList {
	l, ok := next.(*coordinationv1.Lease)
	if !ok {
		return nil
	}
	return manifest.ValidateLease(l)
}

func checkHappening(next, _ events.Object) field.ErrorList {
	e, ok := next.(*corev1.Event)
	if !ok {
		return nil
	}
	return manifest.ValidateEvent(e)
}

func checkHappening1(next, old events.Object) field.ErrorList {
	e, ok := fromHappening1(next).(*corev1.Event)
	switch {
	case !ok:
		return nil
	case old == nil:
		return manifest.ValidateNewEvent(e)
	}
	was, _ := fromHappening1(old).(*corev1.Event)
	return manifest.ValidateNewEventUpdate(e, was)
}

// toHappening1 shows a core/v1 event as one of events.k8s.io/v1, whose names of the
// fields are others.
func toHappening1(o events.Object) events.Object {
	e, ok := o.DeepCopyObject().(*corev1.Event)
	if !ok {
		return nil
	}
	out := &eventsv1.Event{ObjectMeta: e.ObjectMeta, EventTime: e.EventTime, ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
		Action: e.Action, Reason: e.Reason, Regarding: e.InvolvedObject, Related: e.Related, Note: e.Message, Type: e.Type,
		DeprecatedSource: e.Source, DeprecatedFirstTimestamp: e.FirstTimestamp, DeprecatedLastTimestamp: e.LastTimestamp, DeprecatedCount: e.Count}
	if s := e.Series; s != nil {
		out.Series = &eventsv1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	out.SetGroupVersionKind(eventsv1.SchemeGroupVersion.WithKind("Event"))
	return out
}

// fromHappening1 is the core/v1 event that lies on the shelf.
func fromHappening1(o events.Object) events.Object {
	e, ok := o.DeepCopyObject().(*eventsv1.Event)
	if !ok {
		return nil
	}
	out := &corev1.Event{ObjectMeta: e.ObjectMeta, EventTime: e.EventTime, ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
		Action: e.Action, Reason: e.Reason, InvolvedObject: e.Regarding, Related: e.Related, Message: e.Note, Type: e.Type,
		Source: e.DeprecatedSource, FirstTimestamp: e.DeprecatedFirstTimestamp, LastTimestamp: e.DeprecatedLastTimestamp, Count: e.DeprecatedCount}
	if s := e.Series; s != nil {
		out.Series = &corev1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	out.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Event"))
	return out
}
