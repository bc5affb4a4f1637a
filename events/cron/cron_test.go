package cron

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	z, err := Zone(zone)
	if err != nil {
		t.Fatal(err)
	}
	v, err := time.ParseInLocation("2006-01-02 15:04:05", text, z)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ schedule, zone, from, want string }{
		{"* * * * *", "", "2026-01-02 03:04:05", "2026-01-02 03:05:00"},
		{"*/15 * * * *", "", "2026-01-02 03:04:05", "2026-01-02 03:15:00"},
		{"5/20 * * * *", "", "2026-01-02 03:26:00", "2026-01-02 03:45:00"},
		{"0 0 1 * *", "", "2026-01-02 03:04:05", "2026-02-01 00:00:00"},
		{"30 8 * * mon-fri", "", "2026-01-02 09:00:00", "2026-01-05 08:30:00"},
		{"0 12 13 * 5", "", "2026-01-03 00:00:00", "2026-01-09 12:00:00"}, // the 13th, or a Friday
		{"0 0 29 2 *", "", "2026-01-01 00:00:00", "2028-02-29 00:00:00"},
		{"0 0 30 feb *", "", "2026-01-01 00:00:00", ""},
		{"@hourly", "", "2026-01-02 03:00:00", "2026-01-02 04:00:00"},
		{"@weekly", "", "2026-01-02 03:00:00", "2026-01-04 00:00:00"},
		{"@every 90s", "", "2026-01-02 03:00:00", "2026-01-02 03:01:30"},
		{"0 9 * * *", "Asia/Kolkata", "2026-01-02 10:00:00", "2026-01-03 09:00:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00", "2026-03-30 02:30:00"}, // on the 29th there is no half past two
		{"0 3 * * *", "Europe/Berlin", "2026-03-28 12:00:00", "2026-03-29 03:00:00"},
		{"0 0 * * *", "America/Santiago", "2026-09-05 12:00:00", "2026-09-07 00:00:00"}, // nor a midnight there, on the 6th
	} {
		s, err := Parse(c.schedule)
		if err != nil {
			t.Errorf("%s: %v", c.schedule, err)
			continue
		}
		have := s.Next(at(t, c.zone, c.from))
		if text := have.Format("2006-01-02 15:04:05"); c.want == "" && !have.IsZero() || c.want != "" && text != c.want {
			t.Errorf("%s in %q after %s: have %s, want %s", c.schedule, c.zone, c.from, text, c.want)
		}
	}
}

// A schedule of a duration counts from where it began, whenever somebody asks.
func TestFollowing(t *testing.T) {
	for _, c := range []struct{ schedule, from, now, want string }{
		{"@every 1h", "2026-01-02 03:04:05", "2026-01-02 03:04:05", "2026-01-02 04:04:05"},
		{"@every 1h", "2026-01-02 03:04:05", "2026-01-02 03:50:00", "2026-01-02 04:04:05"},
		{"@every 1h", "2026-01-02 03:04:05", "2026-01-02 04:04:05", "2026-01-02 05:04:05"},
		{"@every 1h", "2026-01-02 03:04:05", "2026-01-02 09:30:00", "2026-01-02 10:04:05"},
		{"0 * * * *", "2026-01-02 03:04:05", "2026-01-02 09:30:00", "2026-01-02 10:00:00"},
	} {
		s, err := Parse(c.schedule)
		if err != nil {
			t.Fatal(err)
		}
		if have := s.Following(at(t, "", c.from), at(t, "", c.now)).Format("2006-01-02 15:04:05"); have != c.want {
			t.Errorf("%s from %s, after %s: %s, want %s", c.schedule, c.from, c.now, have, c.want)
		}
	}
}

func TestWrongSchedules(t *testing.T) {
	for text, word := range map[string]string{"": "5 fields", "* * * *": "5 fields", "60 * * * *": "minute", "* 24 * * *": "hour", "* * 0 * *": "day of month",
		"* * * 13 *": "month", "* * * * 7": "day of week", "5-1 * * * *": "beyond", "*/0 * * * *": "step", "@sometimes": "5 fields", "@every x": "duration", "TZ=UTC * * * * *": "5 fields"} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, zone := range []string{"Local", "Mars/Base", "zone", "../etc/passwd"} {
		if _, err := Zone(zone); err == nil {
			t.Errorf("there is a zone %s", zone)
		}
	}
}

// The newest time that was due is the one that walking from the beginning finds.
func TestLastIsTheLastOfAll(t *testing.T) {
	schedules := []string{"* * * * *", "*/7 * * * *", "0 */5 * * *", "15 3 * * *", "0 0 1 * *", "0 12 * * 1-3", "@every 17m", "0 2 29 2 *"}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	rapid.Check(t, func(t *rapid.T) {
		s, _ := Parse(rapid.SampledFrom(schedules).Draw(t, "schedule"))
		z, _ := Zone(rapid.SampledFrom(zones).Draw(t, "zone"))
		from := time.Unix(1_750_000_000+rapid.Int64Range(0, 60_000_000).Draw(t, "from"), 0).In(z)
		now := from.Add(time.Duration(rapid.Int64Range(0, 3_000_000).Draw(t, "seconds")) * time.Second)
		var want time.Time
		for next := s.Next(from); !next.IsZero() && !next.After(now); next = s.Next(next) {
			if !next.After(want) {
				t.Fatalf("%s comes after %s", next, want)
			}
			want = next
		}
		if have := s.Last(from, now); !have.Equal(want) {
			t.Fatalf("from %s to %s: have %s, want %s", from, now, have, want)
		}
	})
}
