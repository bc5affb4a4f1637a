package hollow

import (
	"fmt"
	"hash/fnv"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
)

// Span is how long something takes: between Least and Most, differently each time.
type Span struct{ Least, Most time.Duration }

// UnmarshalText reads "2s", or "1s..3s".
func (s *Span) UnmarshalText(text []byte) error {
	least, most, ranged := strings.Cut(string(text), "..")
	if !ranged {
		most = least
	}
	var err error
	if s.Least, err = time.ParseDuration(least); err == nil {
		s.Most, err = time.ParseDuration(most)
	}
	if err != nil || s.Least < 0 || s.Most < s.Least {
		return fmt.Errorf("%q: want a duration such as 2s, or two such as 1s..3s", text)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is what UnmarshalText reads.
func (s Span) String() string {
	if s.Least == s.Most {
		return s.Least.String()
	}
	return s.Least.String() + ".." + s.Most.String()
}

// at is the span at a point between its ends, 0 to 1.
func (s Span) at(point float64) time.Duration {
	return s.Least + time.Duration(float64(s.Most-s.Least)*point)
}

// Model is how pretended containers behave. The zero Model starts at once, runs for ever and never fails.
type Model struct {
	// Pull is how long an image takes the first time that a node needs it, Start a container, and Stop one after it was
	// asked to end, within what it is given.
	Pull, Start, Stop Span
	// Ready is how long the startup and the readiness probe of a container fail each, where it has them.
	Ready Span
	// Run is how long a container runs before it ends by itself; zero is as its command says, where that can be read, and
	// else for ever.
	Run Span
	// Code is what containers end with.
	Code int
	// FailPull and FailRun are the shares, 0 to 1, of pulls that fail, and of runs that end with code 1 as soon as their
	// time is over, or at once when they would run for ever.
	FailPull, FailRun float64
	// BadImage is a pattern as of path.Match: images that it matches can never be pulled. Empty matches none.
	BadImage string
}

// Check says what is wrong with a model.
func (m Model) Check() error {
	if m.FailPull < 0 || m.FailPull > 1 || m.FailRun < 0 || m.FailRun > 1 {
		return fmt.Errorf("a share of failures is a number from 0 to 1, not %v or %v", m.FailPull, m.FailRun)
	}
	if m.Code < 0 || m.Code > 255 {
		return fmt.Errorf("exit code %d: want 0 to 255", m.Code)
	}
	if _, err := path.Match(m.BadImage, ""); err != nil {
		return fmt.Errorf("pattern of images %q: %w", m.BadImage, err)
	}
	return nil
}

// pullError is why an image cannot be pulled this time; empty when it can.
func (m Model) pullError(image string, chance float64) string {
	bad, _ := path.Match(m.BadImage, image) // Check has seen the pattern
	switch {
	case bad:
		return "pretended: no image " + strconv.Quote(image) + " is in the registry"
	case chance < m.FailPull:
		return "pretended: the registry does not answer"
	}
	return ""
}

// end is when a run that began now ends by itself, and with what; false when it does not.
func (m Model) end(began time.Time, length, chance float64) (time.Time, int, bool) {
	fails := chance < m.FailRun
	if m.Run.Most == 0 && !fails {
		return time.Time{}, 0, false
	}
	code := m.Code
	if fails {
		code = 1
	}
	return began.Add(m.Run.at(length)), code, true
}

// chance is a number from 0 to 1 that is the same whenever the same is asked: pretended clusters can be repeated.
func chance(uid events.UID, what, container string, try int) float64 {
	h := fnv.New64a()
	h.Write([]byte(string(uid) + " " + what + " " + container + " " + strconv.Itoa(try))) // never fails
	// fnv's high bits hardly move with the last letters: stir them.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}
