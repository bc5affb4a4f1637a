package plan

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
)

func TestParseThresholds(t *testing.T) {
	got, err := ParseThresholds("nodefs.available<10%, imagefs.available<5Gi")
	want := []Threshold{{Signal: NodeAvailable, Percent: 10}, {Signal: ImageAvailable, AtLeast: 5 << 30}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseThresholds(""); err != nil || !reflect.DeepEqual(got, DefaultThresholds()) {
		t.Errorf("%+v, %v", got, err)
	}
	for in, words := range map[string]string{
		"memory.available<100Mi":                       "no signal",
		"nodefs.available":                             "no threshold",
		"nodefs.available<1%,nodefs.available<2%":      "each signal once",
		"nodefs.available<100%":                        "less than 100%",
		"nodefs.available<x":                           "threshold",
		"nodefs.available<-1Gi":                        "more than 0",
		"nodefs.available<1%,imagefs.inodesFree<many%": "threshold",
	} {
		if got, err := ParseThresholds(in); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func TestScarce(t *testing.T) {
	const gi = int64(1) << 30
	for name, c := range map[string]struct {
		have map[Signal]Free
		want []Scarce
	}{
		"plenty":        {map[Signal]Free{NodeAvailable: {50 * gi, 100 * gi}, ImageAvailable: {50 * gi, 100 * gi}}, nil},
		"small":         {map[Signal]Free{NodeAvailable: {gi, 10 * gi}, ImageAvailable: {gi, 10 * gi}}, []Scarce{{ImageAvailable, gi, 3 * gi / 2}}},
		"smaller":       {map[Signal]Free{NodeAvailable: {gi - 1, 10 * gi}}, []Scarce{{NodeAvailable, gi - 1, gi}}},
		"large":         {map[Signal]Free{NodeAvailable: {11 * gi, 4000 * gi}, ImageAvailable: {14 * gi, 4000 * gi}}, []Scarce{{ImageAvailable, 14 * gi, 15 * gi}}},
		"no inodes":     {map[Signal]Free{NodeInodes: {}}, nil},
		"few inodes":    {map[Signal]Free{NodeInodes: {4, 100}}, []Scarce{{NodeInodes, 4, 5}}},
		"not looked at": {nil, nil},
	} {
		if got := ScarceOf(DefaultThresholds(), c.have); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	c := DiskCondition([]Scarce{{NodeAvailable, 12<<20 + 1, 40 << 20}})
	if c.Type != events.ConditionDisk || !c.Status || c.Message != "kubelet has disk pressure: nodefs.available is 12Mi, less than 40Mi" {
		t.Errorf("%+v", c)
	}
	if c := DiskCondition(nil); c.Status || c.Reason != "KubeletHasNoDiskPressure" {
		t.Errorf("%+v", c)
	}
}

// TestVictim: who takes more than asked goes before who does not, the less important before the larger.
func TestVictim(t *testing.T) {
	const mi = 1 << 20
	system := Consumer{UID: "system", Priority: systemPriority, Used: 900 * mi}
	small := Consumer{UID: "small", Used: 1000}
	big := Consumer{UID: "big", Used: 100 * mi, Asked: 20 * mi}
	bigger := Consumer{UID: "bigger", Used: 90 * mi}
	asked := Consumer{UID: "asked", Used: 400 * mi, Asked: 500 * mi, Priority: -1}
	dear := Consumer{UID: "dear", Used: 800 * mi, Priority: 5}
	for want, list := range map[events.UID][]Consumer{
		"":       {system, small},
		"big":    {system, small, big, asked},
		"bigger": {asked, big, dear, bigger, system},
		"dear":   {asked, dear},
		"asked":  {asked, small},
	} {
		if got, ok := Victim(list); got.UID != want || ok != (want != "") {
			t.Errorf("%q, want %q", got.UID, want)
		}
	}
	const words = "Threshold quantity: 40Mi, available: 3Mi. The pod was using 100Mi, request is 20Mi"
	if s := Starves(big, Scarce{NodeAvailable, 3 * mi, 40 * mi}); !strings.Contains(s, words) {
		t.Error(s)
	}
}
