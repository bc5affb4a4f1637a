package projections_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// TestReadFeed reads what json.Unmarshal reads, and makes room for just the rows that come.
func TestReadFeed(t *testing.T) {
	for _, rows := range []int{0, 1, 10, 100} {
		m := projections.FeedMessage{Position: 7, Prev: 3, Epoch: 1}
		for i := range rows {
			m.Pods = append(m.Pods, projections.DesiredPod{Position: events.At(events.Seq(i), 0), UID: events.UID("u")})
		}
		raw := events.MustBody(m)
		var want projections.FeedMessage
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got, err := projections.ReadFeed(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d rows: %v, not what they were (%v)", rows, got, err)
		}
		if rows > 0 && rows < 64 && cap(got.Pods) != rows {
			t.Errorf("room for %d rows, %d came", cap(got.Pods), rows)
		}
	}
	if _, err := projections.ReadFeed([]byte(`{"position":1,"pods":[{"position":2},{"position":3}`)); err == nil {
		t.Error("half a message was read")
	}
}
