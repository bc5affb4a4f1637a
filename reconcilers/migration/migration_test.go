package migration

import (
	"testing"
	"time"

	migrationv1 "k8s.io/api/storagemigration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers/stage"
)

// A migration of what nobody defines waits a minute for somebody who does, and fails; one of a kind of Stave's is done; what
// has ended is not decided again.
func TestMigrationsEnd(t *testing.T) {
	for _, c := range []struct {
		resource, group string
		wait            time.Duration
		want            string
	}{{"configmaps", "", 0, "Succeeded"}, {"deployments", "apps", 0, "Succeeded"}, {"foo", "", 59 * time.Second, ""}, {"foo", "", time.Minute, "Failed"}} {
		w := stage.New()
		k := events.Key{Resource: events.Migrations, Name: "m"}
		o := w.Apply(k, `{"metadata":{"name":"m"},"spec":{"resource":{"resource":"`+c.resource+`","group":"`+c.group+`"}}}`)
		w.Now = o.Created.Time.Add(c.wait)
		for range 2 {
			if _, err := w.Run(Reconciler{}, k); err != nil {
				t.Fatal(err)
			}
		}
		v, _ := w.State.Object(k, w.Now)
		m, _ := v.(*migrationv1.StorageVersionMigration)
		got := ""
		for _, x := range m.Status.Conditions {
			got += x.Type
		}
		if got != c.want || (c.want != "") != (m.Status.ResourceVersion != "") {
			t.Errorf("%s after %s: %+v", c.resource, c.wait, m.Status)
		}
		if d := (Reconciler{}).Decide(w.State, k, w.Now); c.want == "" && d.WakeAt.IsZero() {
			t.Error("nobody looks again")
		}
	}
}
