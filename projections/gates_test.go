package projections_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
)

// A pod with readiness gates is ready when its containers are and every gate stands open, whoever comes last.
func TestReadinessGates(t *testing.T) {
	l := foldtest.New()
	k := events.Key{Resource: events.Pods, Namespace: "default", Name: "p"}
	l.Create(k, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"spec":{"containers":[{"name":"c","image":"i"}],`+
		`"readinessGates":[{"conditionType":"x.io/one"},{"conditionType":"x.io/two"},{"conditionType":"PodScheduled"}]}}`)
	l.Assign("n1", k)
	write := func(one, two string) {
		var list []string
		for name, status := range map[string]string{"one": one, "two": two} {
			if status != "" {
				list = append(list, fmt.Sprintf(`{"type":"x.io/%s","status":%q}`, name, status))
			}
		}
		l.Pass(time.Second)
		l.Add(events.Envelope{Subject: events.StatusSubject(k), Type: events.TypeOf(k.Resource, events.VerbStatusWritten), Actor: foldtest.Person,
			Body: events.MustBody(events.StatusWritten{UID: foldtest.UID(k, 1), Status: json.RawMessage(`{"conditions":[` + strings.Join(list, ",") + `]}`)})})
	}
	expect := func(containers, ready corev1.ConditionStatus, message string) {
		t.Helper()
		row, _ := l.State.PodOf(k)
		if row.ReadySince.IsZero() == (ready == corev1.ConditionTrue) {
			t.Errorf("the row is ready since %v", row.ReadySince)
		}
		for _, c := range pod(t, l, k).Status.Conditions {
			switch c.Type {
			case corev1.ContainersReady:
				if c.Status != containers {
					t.Errorf("containers: %+v", c)
				}
			case corev1.PodReady:
				if c.Status != ready || !strings.Contains(c.Message, message) {
					t.Errorf("pod: %+v, want %q", c, message)
				}
			}
		}
	}
	expect("False", "False", "containers with unready status: [c]")
	write("True", "")
	expect("False", "False", "containers with unready status: [c]")
	l.Pass(time.Second)
	l.Saw(k, foldtest.Up("c", "10.0.0.1", l.Now)...)
	expect("True", "False", `corresponding condition of pod readiness gate "x.io/two" does not exist.`)
	write("True", "False")
	expect("True", "False", `the status of pod readiness gate "x.io/two" is not "True", but False`)
	write("True", "True")
	expect("True", "True", "")
	if n := len(l.Changes); n != 1 || l.Changes[0].PodBefore.ReadySince == l.Changes[0].PodAfter.ReadySince {
		t.Errorf("the change of readiness is not told: %d rows, %+v", n, l.Changes[0])
	}
	since, _ := l.State.PodOf(k)
	write("True", "True")
	if again, _ := l.State.PodOf(k); again.ReadySince != since.ReadySince {
		t.Error("said again, it is another readiness")
	}
	write("", "True")
	expect("True", "False", `gate "x.io/one" does not exist`)
	if a, _ := restored(t, kept(t, l.State)).PodOf(k); a == nil || a.Gated == nil || a.Gated.Since.IsZero() {
		t.Errorf("a checkpoint forgets %+v", a)
	}
}
