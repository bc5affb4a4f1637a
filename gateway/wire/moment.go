package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
)

// Moment is a point of the past: either a sequence, and ages count from its
// event's time, or a time, and the last event up to it counts. The zero Moment
// is now.
type Moment struct {
	Seq  events.Seq `json:"seq,omitempty"`
	Time time.Time  `json:"time,omitzero"`
}

// IsZero tells whether the moment is now.
func (m Moment) IsZero() bool { return m.Seq == 0 && m.Time.IsZero() }

// String is the moment as ParseMoment reads it.
func (m Moment) String() string {
	switch {
	case m.Seq != 0:
		return strconv.FormatUint(uint64(m.Seq), 10)
	case !m.Time.IsZero():
		return m.Time.UTC().Format(time.RFC3339Nano)
	}
	return "now"
}

// ParseMoment reads what a person types: a sequence, a time in RFC 3339 (its
// end may be left out: it is in UTC then), or how long ago, such as 90s, 2h30m,
// 3d, with or without "ago". now is the asker's.
func ParseMoment(typed string, now time.Time) (Moment, error) {
	text := strings.TrimSpace(typed)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		if n == 0 {
			return Moment{}, errors.New("the log begins at sequence 1")
		}
		return Moment{Seq: events.Seq(n)}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return Moment{Time: t.UTC()}, nil
		}
	}
	ago, err := ParseSpan(strings.TrimSpace(strings.TrimSuffix(text, "ago")))
	if err != nil {
		return Moment{}, fmt.Errorf("%q is no moment: want a sequence (412), a time (2026-01-02T15:04:05Z) or how long ago (10m, 2h, 3d)", typed)
	}
	if ago < 0 {
		return Moment{}, fmt.Errorf("%q lies in the future", typed)
	}
	return Moment{Time: now.UTC().Add(-ago)}, nil
}

// ParseSpan is time.ParseDuration that knows days: "90d", "1d12h".
func ParseSpan(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("parse days: %w", err)
	}
	long := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return long, nil
	}
	more, err := time.ParseDuration(rest)
	return long + more, err
}
