package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
)

// Op is one thing that a node does. Its String is what a person reads.
type Op interface {
	fmt.Stringer
	op()
}

// Pull makes sure that the image of a container's next run is there, or that of a volume which the run mounts.
type Pull struct {
	Container string
	Run       int
	Image     string
	Policy    string // Always, IfNotPresent, Never
	Volume    string // whose content the image is; empty: it is the container's own
}

// MakeSandbox makes what of the pod's room is missing: namespaces, shim, address, files.
type MakeSandbox struct{}

// WriteVolumes writes the content of the pod's volumes.
type WriteVolumes struct{ Fingerprint string }

// Start creates and starts one run.
type Start struct {
	Container string
	Run       int
	Image     string // as its container names it
	Crashes   int    // ends in a row before it
}

// Resize gives a run other bounds while it goes on.
type Resize struct {
	Container string
	Run       int
	ID        string
	Bounds    Bounds
}

// Stop ends runs: TERM, and KILL when Grace is over.
type Stop struct {
	Runs  []Container
	Grace time.Duration
}

// Remove removes one run that has ended and was told.
type Remove struct {
	Container string
	Run       int
	ID        string
}

// Clean removes everything of the pod but the memory of it.
type Clean struct{}

// Report tells the log facts, in order and together.
type Report struct{ Facts []events.Fact }

// Forget ends the memory of a pod of which nothing is left.
type Forget struct{}

func (Pull) op()         {}
func (MakeSandbox) op()  {}
func (WriteVolumes) op() {}
func (Start) op()        {}
func (Resize) op()       {}
func (Stop) op()         {}
func (Remove) op()       {}
func (Clean) op()        {}
func (Report) op()       {}
func (Forget) op()       {}

// String says which image is fetched for whom.
func (p Pull) String() string {
	whose := ""
	if p.Volume != "" {
		whose = " of volume " + p.Volume
	}
	return fmt.Sprintf("ensure image %s (%s)%s for %s run %d", p.Image, p.Policy, whose, p.Container, p.Run)
}

// String says what is made.
func (MakeSandbox) String() string { return "make sandbox" }

// String says what is written.
func (WriteVolumes) String() string { return "write volumes" }

// String says which run begins.
func (s Start) String() string { return fmt.Sprintf("start %s run %d", s.Container, s.Run) }

// String says which run gets what.
func (r Resize) String() string {
	return fmt.Sprintf("resize %s run %d to %s", r.Container, r.Run, r.Bounds)
}

// String says which runs end, and when at the latest.
func (s Stop) String() string {
	names := make([]string, len(s.Runs))
	for i, c := range s.Runs {
		names[i] = fmt.Sprintf("%s run %d", c.Name, c.Run)
	}
	return fmt.Sprintf("stop %s within %s", strings.Join(names, ", "), s.Grace)
}

// String says which run is removed.
func (r Remove) String() string { return fmt.Sprintf("remove %s run %d", r.Container, r.Run) }

// String says what is removed.
func (Clean) String() string { return "remove sandbox, containers and volumes" }

// String lists the facts.
func (r Report) String() string {
	words := make([]string, len(r.Facts))
	for i, f := range r.Facts {
		words[i] = strings.TrimSpace(fmt.Sprintf("%s %s", f.Container, f.Kind))
		if f.Run != 0 {
			words[i] += fmt.Sprintf(" run %d", f.Run)
		}
		if f.Reason != "" {
			words[i] += " (" + f.Reason + ")"
		}
	}
	return "report " + strings.Join(words, ", ")
}

// String says that nothing is left.
func (Forget) String() string { return "forget" }

// Decision is what is to be done now, in order, and when to look again if nothing happens before; a zero WakeAt waits for
// something to happen. The shell runs the first Op and asks again: what follows it is what would come next.
type Decision struct {
	Ops    []Op
	WakeAt time.Time
}

// String is one op a line.
func (d Decision) String() string {
	var b strings.Builder
	for _, o := range d.Ops {
		b.WriteString(o.String() + "\n")
	}
	if !d.WakeAt.IsZero() {
		b.WriteString("wake at " + d.WakeAt.UTC().Format(time.RFC3339Nano) + "\n")
	}
	return b.String()
}
