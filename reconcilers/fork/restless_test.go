package fork

import (
	"errors"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/stage"
)

// restless always finds something to write.
type restless struct{ deployment.Reconciler }

func (restless) Decide(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok {
		return reconcilers.Decision{}
	}
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Change(o, reconcilers.Same(o))}, More: true}
}

func TestForkThatNeverRestsEnds(t *testing.T) {
	w := stage.New()
	w.Apply(stage.In(events.Deployments, "web"), `{"metadata":{"name":"web"},"spec":{"replicas":1}}`)
	f, err := New(w.State, w.Now, []reconcilers.Reconciler{restless{}})
	if err != nil {
		t.Fatal(err)
	}
	f.most = 500
	if err := f.Settle(); !errors.Is(err, ErrRestless) {
		t.Errorf("%v", err)
	}
}
