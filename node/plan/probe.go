package plan

import (
	"math/bits"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Role is what a probe asks.
type Role string

// The probes of a container, in Kubernetes' words.
const (
	Startup   Role = "Startup"
	Readiness Role = "Readiness"
	Liveness  Role = "Liveness"
)

// ProbeOf is a container's probe of a role, nil when it has none.
func ProbeOf(c *corev1.Container, r Role) *corev1.Probe {
	switch r {
	case Startup:
		return c.StartupProbe
	case Readiness:
		return c.ReadinessProbe
	}
	return c.LivenessProbe
}

// Probed says whether anything asks how a container is.
func Probed(c *corev1.Container) bool {
	return c.StartupProbe != nil || c.ReadinessProbe != nil || c.LivenessProbe != nil
}

// Outcome is how one probe went.
type Outcome struct {
	OK bool
	// Words are why not, as the container or the network said it; of one that is OK, what is odd about it.
	Words string
	// Errored says that nothing was learned of the container: the probe itself could not be made.
	Errored bool
}

// Track is a probe over time: when it is due, and what its outcomes amount to. It is a value; every step gives a new one.
type Track struct {
	Role  Role
	Probe corev1.Probe
	// Passed is what the outcomes amount to: that of the last ones in a row that reached their threshold. Before any do,
	// a run lives, and is neither up nor ready.
	Passed bool
	// Failed says that failures in a row have reached their threshold.
	Failed bool
	// Words are what is to be told of a probe that does not pass; they stand until it does.
	Words string
	// Due is when to probe next.
	Due time.Time

	regular time.Time     // of the next probe that the manifest asks for; one before it is early, and its failure counts for nothing
	early   time.Duration // until the next early one
	row     int           // outcomes in a row
	last    bool          // what they are
}

// firstEarly is when a container that has just begun is asked again; from there on it doubles, up to the period.
const firstEarly = 100 * time.Millisecond

// patience is how far the pauses of early probes grow before a failure is told: who asks why shall know more than that a container
// began, and most have answered by then.
const patience = 2 * time.Second

// NewTrack begins to follow a probe. What the log was told of the run holds until probes say otherwise: an agent that
// starts again makes no ready container unready.
func NewTrack(c *corev1.Container, r Role, started time.Time, passed bool, now time.Time) Track {
	t := Track{Role: r, Probe: *ProbeOf(c, r), Passed: passed || r == Liveness, early: firstEarly}
	if t.Passed {
		t.early = 0
	}
	if started.After(now) {
		started = now // the clock was set back since
	}
	t.regular = started.Add(seconds(t.Probe.InitialDelaySeconds))
	if t.Probe.InitialDelaySeconds == 0 {
		t.regular = started.Add(t.period()) // no program answers in its first moment
	}
	if t.regular.Before(now) {
		t.regular = now
	}
	t.Due = t.regular
	if t.hurries() && t.Probe.InitialDelaySeconds == 0 {
		t.Due = now
	}
	return t
}

func (t Track) period() time.Duration { return seconds(max(1, t.Probe.PeriodSeconds)) }

// hurries says whether somebody waits for the probe to pass for the first time: then it is made oftener than asked.
func (t Track) hurries() bool { return t.early > 0 && t.early < t.period() }

// Timeout is how long one probe may take.
func (t Track) Timeout() time.Duration { return seconds(max(1, t.Probe.TimeoutSeconds)) }

// Note is the track after one more outcome of a probe that was begun at a time.
func (t Track) Note(o Outcome, began time.Time) Track {
	early := began.Before(t.regular)
	if !early || o.OK {
		t.regular = began.Add(t.period())
	}
	t.Due = t.regular
	if !o.OK && t.hurries() {
		if at := began.Add(t.early); at.Before(t.regular) {
			t.Due = at
		}
		t.early *= 2
	}
	switch {
	case o.Errored:
		return t.errored(o)
	case early && !o.OK:
		if t.early > patience && t.Words == "" {
			t.Words = string(t.Role) + " probe failed: " + o.Words
		}
		return t
	}
	if t.row++; o.OK != t.last {
		t.row, t.last = 1, o.OK
	}
	if o.OK {
		if t.row >= int(max(1, t.Probe.SuccessThreshold)) {
			t.Passed, t.Failed, t.Words, t.early = true, false, t.warning(o), 0
		}
		return t
	}
	turned := !t.Failed && t.row >= int(max(1, t.Probe.FailureThreshold))
	if turned {
		t.Passed, t.Failed = false, true
	}
	// Told are the first words, and other ones ever more rarely: a probe that fails for a day is a dozen facts.
	if turned || !t.Passed && bits.OnesCount(uint(t.row)) == 1 {
		t.Words = string(t.Role) + " probe failed: " + o.Words
	}
	return t
}

// warned stands in the words of a probe that passes, and is odd.
const warned = " probe warning: "

// warning is what is odd about probes that pass: the first one's words stand as long as they are.
func (t Track) warning(o Outcome) string {
	switch {
	case o.Words == "":
		return ""
	case strings.HasPrefix(t.Words, string(t.Role)+warned):
		return t.Words
	}
	return string(t.Role) + warned + o.Words
}

// errored keeps what was known, as Kubernetes does, and says what is wrong with the probe.
func (t Track) errored(o Outcome) Track {
	if t.row == 0 || !t.Passed || t.Role == Liveness {
		t.Words = string(t.Role) + " probe errored: " + o.Words
	}
	return t
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
