package table

import (
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
)

// Age is a duration as kubectl prints it: two units while small, one when large
// ("5s", "3m12s", "47h", "12d").
func Age(d time.Duration) string {
	// A clock that is a little behind is no news; one that is far ahead is.
	if sec := int(d.Seconds()); sec < -1 {
		return "<invalid>"
	} else if sec < 0 {
		return "0s"
	} else if sec < 120 {
		return fmt.Sprintf("%ds", sec)
	}
	switch minutes, hours := int(d/time.Minute), int(d/time.Hour); {
	case minutes < 10:
		return two(minutes, "m", int(d/time.Second)%60, "s")
	case minutes < 180:
		return fmt.Sprintf("%dm", minutes)
	case hours < 8:
		return two(hours, "h", minutes%60, "m")
	case hours < 48:
		return fmt.Sprintf("%dh", hours)
	case hours < 192:
		return two(hours/24, "d", hours%24, "h")
	case hours < 24*365*2:
		return fmt.Sprintf("%dd", hours/24)
	case hours < 24*365*8:
		return two(hours/24/365, "y", hours/24%365, "d")
	default:
		return fmt.Sprintf("%dy", hours/24/365)
	}
}

func two(a int, unit string, b int, small string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unit)
	}
	return fmt.Sprintf("%d%s%d%s", a, unit, b, small)
}

// AgeOf is how long an object has existed.
func AgeOf(o events.Object, now time.Time) string { return since(o.GetCreationTimestamp().Time, now) }

func since(t, now time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return Age(now.Sub(t))
}
