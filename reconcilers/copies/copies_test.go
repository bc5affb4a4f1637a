package copies

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

var (
	copied = stage.In(events.ConfigMaps, "settings-abc")
	theirs = stage.In(events.ConfigMaps, "theirs")
	web    = stage.In(events.Deployments, "web")
	set    = stage.In(events.ReplicaSets, "web-1")
)

func template(mentions string) string {
	return fmt.Sprintf(`{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c"}],"volumes":[{"name":"v","configMap":{"name":%q}}]}}`, mentions)
}

func workload(mentions string) string {
	return `{"metadata":{"name":"web"},"spec":{"template":` + template(mentions) + `}}`
}

// laid is a namespace with a copy, long ago, and a map that only looks like one.
func laid() *stage.World {
	w := stage.New()
	w.Apply(copied, `{"metadata":{"name":"settings-abc","labels":{"stave.run/copy-of":"settings"}},"immutable":true,"data":{"a":"b"}}`)
	w.Apply(theirs, `{"metadata":{"name":"theirs","labels":{"stave.run/copy-of":"settings"}},"data":{"a":"stave.run/copy-of"}}`)
	return w
}

func TestCopyStaysWhileARevisionMentionsIt(t *testing.T) {
	w := laid()
	w.Apply(web, workload("settings-abc"))
	w.Apply(set, workload("settings-abc"))
	pod := stage.PodKey("web-1-a")
	w.Apply(pod, template("settings-abc"))
	w.Now = w.Now.Add(time.Hour)
	for _, k := range []events.Key{web, set, pod} {
		d, err := w.Run(Reconciler{}, copied)
		if err != nil || len(d.Events) != 0 || len(d.Because) != 1 || d.Because[0].About != k || d.WakeAt.IsZero() == (k == pod) {
			t.Fatalf("in use by %s: %+v, %v", k, d, err)
		}
		before := w.Get(k)
		w.Apply(k, map[events.Key]string{web: workload("settings"), set: workload("settings"), pod: template("settings")}[k])
		keys := Reconciler{}.Keys(w.State, projections.Change{Key: k, Before: before, After: w.Get(k)})
		if k != pod && !slices.Equal(keys, []events.Key{copied}) {
			t.Errorf("a change of %s wakes %v", k, keys)
		}
	}
	if d, err := w.Run(Reconciler{}, copied); err != nil || w.Get(copied) != nil {
		t.Errorf("nobody mentions it: %+v, %v", d, err)
	}
}

func TestCopyIsNotTakenAtOnce(t *testing.T) {
	w := laid()
	d, err := w.Run(Reconciler{}, copied)
	if err != nil || len(d.Events) != 0 || !d.WakeAt.Equal(w.Get(copied).Created.Time.Add(young)) {
		t.Errorf("%+v, %v", d, err)
	}
	w.Now = w.Now.Add(young)
	if d, err := w.Run(Reconciler{}, copied); err != nil || w.Get(copied) != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestWhatIsNoCopyStays(t *testing.T) {
	w := laid()
	w.Now = w.Now.Add(time.Hour)
	for _, k := range []events.Key{theirs, stage.In(events.ConfigMaps, "nobody")} {
		if d, err := w.Run(Reconciler{}, k); err != nil || len(d.Events) != 0 {
			t.Errorf("%s: %+v, %v", k, d, err)
		}
	}
	if w.Get(theirs) == nil {
		t.Error("what only looks like a copy is gone")
	}
	if keys := (Reconciler{}).Keys(w.State, projections.Change{Key: theirs, After: w.Get(theirs)}); len(keys) != 0 {
		t.Errorf("it wakes %v", keys)
	}
}
