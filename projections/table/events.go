package table

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// EventRow is one line of describe's Events, made from the log by package why.
type EventRow struct {
	Type    string // Normal, Warning
	Reason  string
	From    string
	Message string
	Count   int
	First   time.Time
	Last    time.Time
	Seq     events.Seq // of the event that it was told of last
	Place   int        // among what was told of the same event
}

// age is "5s", or "5s (x3 over 2m)" for what came more than once.
func (r EventRow) age(now time.Time) string {
	if r.Count > 1 {
		return fmt.Sprintf("%s (x%d over %s)", since(r.Last, now), r.Count, since(r.First, now))
	}
	return since(r.First, now)
}

// happeningColumns are those of Kubernetes' events.
var happeningColumns = []Column{{Name: "LAST SEEN"}, {Name: "TYPE"}, {Name: "REASON"}, {Name: "OBJECT"}, {Name: "SUBOBJECT", Wide: true},
	{Name: "SOURCE", Wide: true}, {Name: "MESSAGE"}, {Name: "FIRST SEEN", Wide: true}, {Name: "COUNT", Wide: true}, {Name: "NAME", Wide: true}}

// happeningRow is an event as kubectl prints one.
func happeningRow(o *corev1.Event, _ string, now time.Time) []string {
	first, count := o.FirstTimestamp.Time, max(o.Count, 1)
	if first.IsZero() {
		first = o.EventTime.Time
	}
	last := o.LastTimestamp.Time
	if last.IsZero() {
		last = first
	}
	if s := o.Series; s != nil {
		last, count = s.LastObservedTime.Time, s.Count
	}
	source := o.Source.Component
	if source == "" {
		source = o.ReportingController
	}
	host := o.Source.Host
	if host == "" {
		host = o.ReportingInstance
	}
	if host != "" {
		source += ", " + host
	}
	about := strings.ToLower(o.InvolvedObject.Kind)
	if o.InvolvedObject.Name != "" {
		about += "/" + o.InvolvedObject.Name
	}
	return []string{sinceKnown(last, now), o.Type, o.Reason, about, o.InvolvedObject.FieldPath, source, strings.TrimSpace(o.Message),
		sinceKnown(first, now), fmt.Sprint(count), o.Name}
}

func sinceKnown(t, now time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return since(t, now)
}
