package main

import (
	"testing"
	"time"
)

// Nothing is too old because a clock was years ahead for a while.
func TestAgeNeedsTwoLooks(t *testing.T) {
	now := time.Now() // its monotonic part goes on, whatever people set
	year := 365 * 24 * time.Hour
	var a age
	for _, look := range []struct{ clock, want time.Duration }{{0, -1}, {time.Hour, 0}, {year, time.Hour}, {2 * time.Hour, 2 * time.Hour}, {3 * time.Hour, 2 * time.Hour}, {year, 3 * time.Hour}, {year + time.Hour, year}} {
		want := now.Add(look.want).Round(0)
		if look.want < 0 {
			want = time.Time{}
		}
		if got := a.by(now.Add(look.clock)); !got.Equal(want) {
			t.Errorf("at %s: by %s, want %s", look.clock, got, want)
		}
	}
}
