package why

import (
	"fmt"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/table"
)

// maxDetail is how many lines of details a problem shows; why has them all.
const maxDetail = 4

// String is the status as one page for people.
func (s Status) String() string {
	var b strings.Builder
	sum := fmt.Sprintf("%d of %s ready, %d of %s ready", s.Nodes.Good, many(s.Nodes.All, "node", "nodes"), s.Pods.Good, many(s.Pods.All, "pod", "pods"))
	if s.Healthy {
		fmt.Fprintf(&b, "All is well: %s. (seq %d)\n", sum, s.Seq)
	} else {
		fmt.Fprintf(&b, "%s: %s. (seq %d)\n", many(len(s.Problems), "problem", "problems"), sum, s.Seq)
	}
	for _, n := range s.Notes {
		b.WriteString(n + "\n")
	}
	for _, p := range s.Problems {
		b.WriteByte('\n')
		s.problem(&b, p)
	}
	return b.String()
}

func (s Status) problem(b *strings.Builder, p Problem) {
	fmt.Fprintf(b, "%s %s, for %s\n", strings.ToUpper(p.Level), s.who(p), table.Age(s.Time.Sub(p.Since)))
	fmt.Fprintf(b, "  %s\n", p.Verdict)
	for i, d := range detailLines(p.Details) {
		if i == maxDetail {
			b.WriteString("    …\n")
			break
		}
		b.WriteString("    " + d + "\n")
	}
	for _, k := range p.Affects {
		fmt.Fprintf(b, "  so %s has no endpoints\n", Spelled(k, s.home))
	}
	if p.WaitsFor != "" {
		fmt.Fprintf(b, "  waits for: %s\n", p.WaitsFor)
	}
	if l := p.Because; l != nil {
		fmt.Fprintf(b, "  last change: %d, %s ago, %s %s\n", l.Seq, l.Age, l.Who, l.What)
	}
	if p.Fix != "" && p.Fix != p.Next {
		fmt.Fprintf(b, "  fix: %s\n", p.Fix)
	}
	fmt.Fprintf(b, "  next: %s\n", p.Next)
}

func detailLines(details []string) []string {
	var out []string
	for _, d := range details {
		out = append(out, strings.Split(strings.TrimRight(d, "\n"), "\n")...)
	}
	return out
}

// who names what suffers: one object, or how many of whose.
func (s Status) who(p Problem) string {
	pods := 0
	for _, k := range p.Objects {
		if k.Resource == events.Pods {
			pods++
		}
	}
	name := Spelled(p.Subject, s.home)
	switch {
	case p.Subject.Resource == events.Nodes && pods > 0:
		return fmt.Sprintf("%s with %s", name, many(pods, "pod", "pods"))
	case p.Subject != p.Example && pods == 1:
		return fmt.Sprintf("%s (its pod %s)", name, p.Example.Name)
	case p.Subject != p.Example:
		return fmt.Sprintf("%s (%d pods, such as %s)", name, len(p.Objects), p.Example.Name)
	}
	return name
}
