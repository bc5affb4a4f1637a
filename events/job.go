package events

// JobReported is what was decided about a Job and what no later look at its pods
// may take back: all its conditions, in the order in which they came.
type JobReported struct {
	UID        UID            `json:"uid"`
	Conditions []JobCondition `json:"conditions"`
}

// JobCondition is one condition of a Job. When it came is the event's time.
type JobCondition struct {
	Type    string `json:"type"`             // "Suspended", "SuccessCriteriaMet", "Complete", "FailureTarget", "Failed"
	False   bool   `json:"false,omitempty"`  // its status: a Job that was resumed is suspended no more
	Reason  string `json:"reason,omitempty"` // "BackoffLimitExceeded"
	Message string `json:"message,omitempty"`
}
