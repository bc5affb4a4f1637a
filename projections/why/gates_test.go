package why_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
)

func TestWhyAPodIsHeldBack(t *testing.T) {
	l := foldtest.New()
	l.Lease("tests")
	k := foldtest.Key(events.Pods, "p")
	l.Create(k, `{"spec":{"schedulingGates":[{"name":"quota"},{"name":"b.example/c"}],"containers":[{"name":"c","image":"i"}]}}`)
	text := ask(l, k).String()
	for _, want := range []string{"Pending: it is held back", "somebody to take its scheduling gates off: quota, b.example/c"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	o, _ := l.State.Get(k)
	if word := table.PodStatus(l.State.ObjectOf(o, l.Now).(*corev1.Pod)); word != corev1.PodReasonSchedulingGated {
		t.Errorf("its status is told as %s", word)
	}
}
