package wire

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// VerbEvents asks what happened in Kubernetes' words: EventsRequest → EventsReply.
const VerbEvents = "events"

// EventsRequest asks what happened to one object, to those of a namespace, or to all.
type EventsRequest struct {
	Key       events.Key `json:"key,omitzero"`        // of one object
	Namespace string     `json:"namespace,omitempty"` // empty: all
	Since     time.Time  `json:"since,omitzero"`      // what ended before is left out
	At        Moment     `json:"at,omitzero"`         // as it was told then
	// Back is how far before At to begin, in nanoseconds; 0 is as far as the log goes.
	Back time.Duration `json:"back,omitempty"`
}

// EventsReply has one row for each thing that happened, in the order of the log.
type EventsReply struct {
	Now     time.Time      `json:"now"` // ages count from here
	Events  []Happened     `json:"events,omitempty"`
	Error   *metav1.Status `json:"error,omitempty"`
	Horizon *Horizon       `json:"horizon,omitempty"` // when history that was cut off might have told more
}

// Happened is what happened to an object, once or several times.
type Happened struct {
	Key     events.Key `json:"key"`
	Type    string     `json:"type"` // Normal, Warning
	Reason  string     `json:"reason"`
	From    string     `json:"from"`
	Message string     `json:"message"`
	Count   int        `json:"count"`
	First   time.Time  `json:"first"`
	Last    time.Time  `json:"last"`
	Seq     events.Seq `json:"seq"` // of the event in the log that it was told of last
}
