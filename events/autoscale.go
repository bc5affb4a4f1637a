package events

// ScalerReported is what nodes measured for a HorizontalPodAutoscaler, or how it
// changed the replicas of its target. Only one of the two is set.
type ScalerReported struct {
	UID      UID             `json:"uid"`
	Measured *ScalerMeasured `json:"measured,omitempty"`
	Scaled   *ScalerScaled   `json:"scaled,omitempty"`
}

// ScalerMeasured is what one look at the pods of a target found. It is appended when it
// differs from the last one in what is to be done, and now and then when its figures moved:
// what is not said has not changed.
type ScalerMeasured struct {
	Generation int64          `json:"generation"`        // of the spec that it was measured for
	Current    int32          `json:"current"`           // replicas that were wanted then
	Replicas   int32          `json:"replicas"`          // that the metrics ask for; -1 when they cannot say
	Metrics    []ScalerMetric `json:"metrics,omitempty"` // in the order of the spec
}

// ScalerMetric is what one metric says.
type ScalerMetric struct {
	Replicas    int32  `json:"replicas"`              // that it asks for
	Utilization *int32 `json:"utilization,omitempty"` // percent of what the pods request; nil when that is not asked
	Average     int64  `json:"average"`               // of each pod, in thousandths: of a core, of a byte
	Reason      string `json:"reason,omitempty"`      // why it says nothing, as Kubernetes words it: "FailedGetResourceMetric"
	Said        string `json:"said,omitempty"`        // the same at length
}

// ScalerScaled is one change of a target's replicas.
type ScalerScaled struct {
	From int32  `json:"from"`
	To   int32  `json:"to"`
	Why  string `json:"why"` // as Kubernetes words it
	Told string `json:"told,omitempty"`
}
