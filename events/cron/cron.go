// Package cron reads schedules of five fields and says when they are due, in any
// time zone. The zones are Go's own, built in: the same log gives the same times on
// any machine.
package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule is when something is due. The zero Schedule never is.
type Schedule struct {
	minute, hour, day, month, weekday uint64 // a bit a value
	anyDay, anyWeekday                bool   // said as *: the other one alone decides
	every                             time.Duration
}

// field is the bounds of one, and its names.
type field struct {
	name        string
	least, most int
	names       string // of least and those after it, between spaces
}

var fields = [5]field{{"minute", 0, 59, ""}, {"hour", 0, 23, ""}, {"day of month", 1, 31, ""},
	{"month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"}, {"day of week", 0, 6, "sun mon tue wed thu fri sat"}}

var shorthands = map[string]string{"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}

// Parse reads a schedule: five fields as of cron, @hourly and the like, or @every and
// a duration.
func Parse(text string) (Schedule, error) {
	text = strings.TrimSpace(text)
	if d, ok := strings.CutPrefix(text, "@every "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(d))
		if err != nil || every < time.Second {
			return Schedule{}, fmt.Errorf("failed to parse duration %s: want a second or more, such as 90m", d)
		}
		return Schedule{every: every.Truncate(time.Second)}, nil
	}
	if long, ok := shorthands[text]; ok {
		text = long
	}
	words := strings.Fields(text)
	if len(words) != len(fields) {
		return Schedule{}, fmt.Errorf("expected exactly 5 fields, found %d: %q", len(words), text)
	}
	var bits [5]uint64
	var stars [5]bool
	for i, w := range words {
		var err error
		if bits[i], stars[i], err = fields[i].parse(w); err != nil {
			return Schedule{}, err
		}
	}
	return Schedule{minute: bits[0], hour: bits[1], day: bits[2], month: bits[3], weekday: bits[4], anyDay: stars[2], anyWeekday: stars[4]}, nil
}

func (f field) parse(text string) (bits uint64, star bool, err error) {
	for _, part := range strings.Split(text, ",") {
		one, all, err := f.part(part)
		if err != nil {
			return 0, false, fmt.Errorf("%s %q: %w", f.name, text, err)
		}
		bits, star = bits|one, star || all
	}
	return bits, star, nil
}

// part reads one of: *, 5, 1-5, and each of them with a step.
func (f field) part(text string) (bits uint64, star bool, err error) {
	span, by, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		if step, err = strconv.Atoi(by); err != nil || step < 1 {
			return 0, false, errors.New("a step is a number from 1")
		}
	}
	from, to := f.least, f.most
	if star = span == "*" || span == "?"; !star {
		first, last, ranged := strings.Cut(span, "-")
		if from, err = f.value(first); err != nil {
			return 0, false, err
		}
		switch {
		case ranged:
			if to, err = f.value(last); err != nil {
				return 0, false, err
			}
		case !stepped: // 5/15 is from 5 on
			to = from
		}
	}
	if from > to {
		return 0, false, fmt.Errorf("beginning of range (%d) beyond end of range (%d)", from, to)
	}
	for i := from; i <= to; i += step {
		bits |= 1 << i
	}
	return bits, star && step == 1, nil
}

func (f field) value(text string) (int, error) {
	for i, name := range strings.Fields(f.names) {
		if strings.EqualFold(name, text) {
			return f.least + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.least || n > f.most {
		return 0, fmt.Errorf("%q is not between %d and %d", text, f.least, f.most)
	}
	return n, nil
}

// horizon is how far Next looks, in years: no schedule of five fields that is ever due waits longer.
const horizon = 12

// Next is the first time after t at which the schedule is due, in t's time zone;
// zero when there is none. Clocks that are set forward skip what would have been due
// meanwhile, and what is due in an hour that comes twice is due twice.
func (s Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		return t.Truncate(time.Second).Add(s.every)
	}
	end := t.Year() + horizon
	t = t.Add(time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	for t.Year() <= end {
		switch {
		case !has(s.month, int(t.Month())):
			t = later(t, time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location()))
		case !s.onDay(t):
			t = later(t, time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, t.Location()))
		case !has(s.hour, t.Hour()):
			t = t.Add(time.Hour - time.Duration(t.Minute())*time.Minute)
		case !has(s.minute, t.Minute()):
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

// Following is the first time after now at which the schedule is due, in now's time
// zone, when it began at from: a duration counts from there; zero when there is none.
func (s Schedule) Following(from, now time.Time) time.Time {
	if s.every == 0 {
		return s.Next(now)
	}
	if last := s.Last(from, now); !last.IsZero() {
		from = last
	}
	return s.Next(from).In(now.Location())
}

// later is the beginning of a day or month; where a clock set forward has none, what
// comes first in it.
func later(t, next time.Time) time.Time {
	if !next.After(t) {
		return t.Add(time.Hour)
	}
	return next
}

// onDay: where both days are said, either of them will do.
func (s Schedule) onDay(t time.Time) bool {
	day, weekday := has(s.day, t.Day()), has(s.weekday, int(t.Weekday()))
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}

func has(bits uint64, i int) bool { return bits&(1<<i) != 0 }

// Last is the newest time after from, and not after now, at which the schedule was
// due; zero when it was not. It takes no longer for the years between than for the
// times of a few hours.
func (s Schedule) Last(from, now time.Time) time.Time {
	if s.every > 0 {
		if n := now.Sub(from.Truncate(time.Second)) / s.every; n > 0 {
			return from.Truncate(time.Second).Add(n * s.every)
		}
		return time.Time{}
	}
	start := from
	for back := time.Hour; now.Add(-back).After(from); back *= 4 {
		if next := s.Next(now.Add(-back)); !next.IsZero() && !next.After(now) {
			start = now.Add(-back)
			break
		}
	}
	var last time.Time
	for next := s.Next(start); !next.IsZero() && !next.After(now); next = s.Next(next) {
		last = next
	}
	return last
}
