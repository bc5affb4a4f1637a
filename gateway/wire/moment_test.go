package wire

import (
	"testing"
	"time"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	at := func(year int, month time.Month, day, hour, min, sec, nano int) Moment {
		return Moment{Time: time.Date(year, month, day, hour, min, sec, nano, time.UTC)}
	}
	for typed, want := range map[string]Moment{
		"412":                            {Seq: 412},
		"2026-01-02T15:04:05Z":           at(2026, 1, 2, 15, 4, 5, 0),
		"2026-01-02T15:04:05.000000007Z": at(2026, 1, 2, 15, 4, 5, 7),
		"2026-01-02T16:04:05+01:00":      at(2026, 1, 2, 15, 4, 5, 0),
		"2026-01-02T15:04:05":            at(2026, 1, 2, 15, 4, 5, 0),
		"2026-01-02":                     at(2026, 1, 2, 0, 0, 0, 0),
		"90s":                            at(2026, 1, 10, 11, 58, 30, 0),
		"2h30m ago":                      at(2026, 1, 10, 9, 30, 0, 0),
		"3d":                             at(2026, 1, 7, 12, 0, 0, 0),
		"1d12h ago":                      at(2026, 1, 9, 0, 0, 0, 0),
	} {
		have, err := ParseMoment(typed, now)
		if err != nil || have != want {
			t.Errorf("%q is %v, %v; want %v", typed, have, err, want)
		}
		if again, err := ParseMoment(have.String(), now.Add(time.Hour)); err != nil || again != have {
			t.Errorf("%q is said as %s, which is %v, %v", typed, have, again, err)
		}
	}
	for _, typed := range []string{"", "0", "yesterday", "-5m", "2026-13-01T00:00:00Z", "d", "xd", "1dx"} {
		if m, err := ParseMoment(typed, now); err == nil {
			t.Errorf("%q passes as %v", typed, m)
		}
	}
	if !(Moment{}).IsZero() || (Moment{}).String() != "now" {
		t.Error("the zero moment is not now")
	}
}
