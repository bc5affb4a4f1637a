package table

import (
	"strconv"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
)

// Scales are scales in kubectl's columns.
func Scales(all []*autoscalingv1.Scale, now time.Time) Table {
	t := Table{Columns: cols("NAME DESIRED AVAILABLE AGE")}
	for _, s := range all {
		t.Rows = append(t.Rows, Row{Namespace: s.Namespace, Name: s.Name, Labels: s.Labels,
			Cells: []string{s.Name, strconv.Itoa(int(s.Spec.Replicas)), strconv.Itoa(int(s.Status.Replicas)), AgeOf(s, now)}})
	}
	return t
}
