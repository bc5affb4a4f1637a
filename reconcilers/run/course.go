package run

import (
	"sync"
	"time"
)

// Course is how the cluster's time goes on. It never runs back, and never behind what the log says has happened: a clock that
// was set back, at a restart too, or that of the process that had the lease before, which was ahead. From there it goes on at
// half the clock's speed until the clock has caught up, so that what shall happen in a while does, and what is to happen at an
// hour of the day is right again some time. A clock that is set forward is believed, because the log's times are.
// The zero Course is at its beginning; it is safe for concurrent use.
type Course struct {
	mu     sync.Mutex
	raw    time.Time // what the clock said last
	latest time.Time // what Now said last
	told   bool      // that the clock is behind
}

// slower is by what time goes slower while the clock is behind.
const slower = 2

// farBehind is from when on it is worth a word that the clock is behind.
const farBehind = 10 * time.Second

// Now is the time at which the clock says t and the log's newest event was at logged. behind is how far the clock is behind;
// news tells that a person should hear of it.
func (c *Course) Now(t, logged time.Time) (now time.Time, behind time.Duration, news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := t.Round(0)
	if !c.raw.IsZero() {
		c.latest = c.latest.Add(max(t.Sub(c.raw), 0) / slower) // by the monotonic clock, where there is one
	}
	for _, x := range []time.Time{wall, logged} {
		if x.After(c.latest) {
			c.latest = x
		}
	}
	c.raw = t
	behind = c.latest.Sub(wall)
	if far := behind > farBehind; far != c.told && (far || behind == 0) {
		c.told, news = far, true
	}
	return c.latest, behind, news
}

// Now is the cluster's time, which never runs back.
func (l *Loop) Now() time.Time {
	now, behind, news := l.time.Now(l.Clock.Now(), l.Source.Ahead().Time)
	switch {
	case news && behind > 0:
		l.Logger.Warn("this machine's clock is behind the log's: it was set back, or the log was written under another one. Until it has caught up time goes at half its speed, "+
			"and what follows the time of day comes too early", "behind", behind.Round(time.Second).String(), "clock", now.Add(-behind).UTC().Format(time.RFC3339), "log", now.UTC().Format(time.RFC3339))
	case news:
		l.Logger.Info("this machine's clock has caught up with the log's")
	}
	return now
}

// until is how long the clock takes until the cluster's time is at.
func (l *Loop) until(at time.Time) time.Duration {
	now := l.Now()
	d := at.Sub(now)
	behind := now.Sub(l.Clock.Now().Round(0))
	if d <= 0 || behind <= 0 {
		return d
	}
	return min(slower*d, d+behind) // at half speed, or until the clock itself has come there
}
