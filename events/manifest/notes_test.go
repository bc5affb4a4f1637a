package manifest

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func wantErrors(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	text := ""
	if err := errs.ToAggregate(); err != nil {
		text = err.Error()
	}
	if len(errs) != len(want) {
		t.Errorf("%d errors, want %q: %s", len(errs), want, text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in: %s", w, text)
		}
	}
}

func TestLeasesAreChecked(t *testing.T) {
	n := func(i int32) *int32 { return &i }
	strategy, holder := coordinationv1.CoordinatedLeaseStrategy("not a name"), "me"
	meta := metav1.ObjectMeta{Name: "a.b", Namespace: "default"}
	wantErrors(t, ValidateLease(&coordinationv1.Lease{ObjectMeta: meta, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: n(1), LeaseTransitions: n(0)}}))
	wantErrors(t, ValidateLease(&coordinationv1.Lease{ObjectMeta: meta, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: n(0), LeaseTransitions: n(-1), PreferredHolder: &holder}}),
		"leaseDurationSeconds: Invalid value: 0: must be greater than 0", "leaseTransitions", "preferredHolder")
	wantErrors(t, ValidateLease(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "A"}, Spec: coordinationv1.LeaseSpec{Strategy: &strategy}}), "metadata.name", "strategy")
}

func TestEventsAreChecked(t *testing.T) {
	good := corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "a.1", Namespace: "blue"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "blue", Name: "a"}}
	wantErrors(t, ValidateEvent(&good))
	elsewhere := good
	elsewhere.Namespace = "green"
	wantErrors(t, ValidateEvent(&elsewhere), "involvedObject.namespace")
	cluster := good
	cluster.InvolvedObject.Namespace = ""
	wantErrors(t, ValidateEvent(&cluster), "does not match event.namespace")
	cluster.Namespace = "default"
	wantErrors(t, ValidateEvent(&cluster))
	timed := good
	timed.EventTime = metav1.NewMicroTime(time.Unix(1, 0))
	wantErrors(t, ValidateEvent(&timed), "reportingComponent", "reportingInstance", "action", "reason")
	timed.ReportingController, timed.ReportingInstance, timed.Action, timed.Reason, timed.Type = "example.org/c", "i", "a", "r", "Normal"
	wantErrors(t, ValidateEvent(&timed))
	wantErrors(t, ValidateNewEvent(&timed))
	long := timed
	long.Reason, long.Message, long.ReportingController = strings.Repeat("x", 129), strings.Repeat("x", 1025), "not a name"
	wantErrors(t, ValidateNewEvent(&long), "reason: Invalid value: \"\": can have at most 128", "note", "reportingController")
	old := timed
	old.EventTime, old.Count, old.FirstTimestamp, old.LastTimestamp = metav1.MicroTime{}, 1, metav1.NewTime(time.Unix(1, 0)), metav1.NewTime(time.Unix(1, 0))
	old.Source.Component, old.Type, old.Series = "c", "Odd", &corev1.EventSeries{Count: 1}
	wantErrors(t, ValidateNewEvent(&old), "eventTime", "type", "firstTimestamp", "lastTimestamp", "count", "source", "series.count", "series.lastObservedTime")
}

func TestOfAnEventItsSeriesMayChange(t *testing.T) {
	old := corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "a.1", Namespace: "blue"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "blue", Name: "a"}, Reason: "r"}
	next := old
	next.Series = &corev1.EventSeries{Count: 2, LastObservedTime: metav1.NewMicroTime(time.Unix(1, 0))}
	wantErrors(t, ValidateNewEventUpdate(&next, &old))
	next.Reason, next.Message, next.Related = "s", "m", &corev1.ObjectReference{Name: "b"}
	wantErrors(t, ValidateNewEventUpdate(&next, &old), "reason", "message", "related")
}
