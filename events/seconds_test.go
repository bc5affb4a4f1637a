package events

import (
	"math"
	"testing"
	"time"
)

func TestSeconds(t *testing.T) {
	for n, want := range map[int64]time.Duration{0: 0, 30: 30 * time.Second, -5: -5 * time.Second} {
		if d := Seconds(n); d != want {
			t.Errorf("%d: %s", n, d)
		}
	}
	for _, n := range []int64{9_999_999_999, math.MaxInt64} {
		if d := Seconds(n); d < 290*365*24*time.Hour || Seconds(-n) > -d {
			t.Errorf("%d: %s, %s", n, d, Seconds(-n))
		}
	}
}
