package hollow

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/projections"
)

// A lean row is the row that it was made of, whichever field of it is set.
func TestALeanRowForgetsNothing(t *testing.T) {
	full := func() projections.DesiredPod {
		d := projections.DesiredPod{Position: 7, UID: "u", Assigned: 3, Pod: corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "u",
			ResourceVersion: "7", CreationTimestamp: metav1.NewTime(began), Labels: map[string]string{"a": "b"}, OwnerReferences: []metav1.OwnerReference{{Name: "set"}}},
			Spec: corev1.PodSpec{NodeName: "h1", Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
			Stop: true, Deadline: began.Add(time.Minute), Why: "deleted", Services: []projections.ServiceEnv{{Name: "s"}}, Runs: map[string]int{"c": 2}, Access: true, Misfit: true, Rejected: &projections.Rejection{Reason: "OutOfcpu"}}
		return d
	}
	m := newBench(t, Model{}).machine
	for _, change := range []func(*projections.DesiredPod){
		func(*projections.DesiredPod) {}, func(d *projections.DesiredPod) { d.UID, d.Pod.UID = "v", "v" }, func(d *projections.DesiredPod) { d.Pod.UID = "other" },
		func(d *projections.DesiredPod) { d.Pod.Name = "q" }, func(d *projections.DesiredPod) { d.Stop = false },
		func(d *projections.DesiredPod) { d.Pod.Spec.Containers[0].Image = "j" }, func(d *projections.DesiredPod) { d.Assigned = 9 },
		func(d *projections.DesiredPod) { d.Pod.CreationTimestamp = metav1.NewTime(time.Unix(began.Unix(), 0)) },
		func(d *projections.DesiredPod) { d.Pod.CreationTimestamp = metav1.Time{} },
		func(d *projections.DesiredPod) { d.Pod.ResourceVersion = "" }, func(d *projections.DesiredPod) { d.Pod.ResourceVersion = "07" },
	} {
		want, have := full(), full()
		change(&want)
		change(&have)
		if got := m.slim(&have).row(want.UID); !reflect.DeepEqual(*got, want) {
			t.Errorf("have %+v\nwant %+v", *got, want)
		}
	}
	if n := len(m.likes); n != 6 {
		t.Errorf("%d kinds of rows are kept, want the first, one that need not stop, one of another image, and those of another uid, time and version than rows have", n)
	}
	for i := range 2 * maxLikes {
		d := full()
		d.Pod.Spec.Containers[0].Image = fmt.Sprint("i", i)
		m.slim(&d)
	}
	if n := len(m.likes); n > maxLikes {
		t.Errorf("%d kinds of rows are kept, at most %d shall be", n, maxLikes)
	}
}
