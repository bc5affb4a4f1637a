package events

import (
	"fmt"
	"strings"
)

// Bounds of the message of [ConditionServices]: of how many services it says why, and how many it names.
const (
	maxExplained = 10
	maxNamed     = 100
)

// Unprogrammed is a service that a node's tables do not hold, or not whole.
type Unprogrammed struct {
	Service string // "namespace/name"
	Why     string
}

// explained stands before the reasons, between the names and between the reasons.
const (
	explained  = "; why: "
	betweenWhy = "; "
)

// UnprogrammedMessage is what a node says of them in its condition: the names of all, and why of the first. The log of the
// node has the rest.
func UnprogrammedMessage(all []Unprogrammed) string {
	var names, why []string
	for i, u := range all {
		if i < maxNamed {
			names = append(names, u.Service)
		}
		if i < maxExplained {
			why = append(why, u.Service+": "+strings.NewReplacer("\n", ", ", ";", ",").Replace(u.Why))
		}
	}
	if len(all) > maxNamed {
		names = append(names, fmt.Sprintf("and %d more", len(all)-maxNamed))
	}
	return fmt.Sprintf("%d not programmed, or not whole: %s%s%s", len(all), strings.Join(names, ", "), explained, strings.Join(why, betweenWhy))
}

// WhyUnprogrammed reads such a message: whether it names a service, and why, if it says so.
func WhyUnprogrammed(message, service string) (why string, named bool) {
	names, reasons, _ := strings.Cut(message, explained)
	for _, w := range strings.Fields(names) {
		named = named || strings.Trim(w, ",:;()") == service
	}
	if !named {
		return "", false
	}
	for r := range strings.SplitSeq(reasons, betweenWhy) {
		if after, ok := strings.CutPrefix(r, service+": "); ok {
			return after, true
		}
	}
	return "", true
}
