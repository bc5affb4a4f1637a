package why

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/stave-run/stave/events"
)

// Run is one run of a container, as its node told it.
type Run struct {
	Pod       events.UID `json:"pod"` // the life of the pod; a name can have several
	Container string     `json:"container"`
	Run       int        `json:"run"` // 1 is the first
	Node      string     `json:"node"`
	Started   time.Time  `json:"started,omitzero"` // the node's clock; zero when it could not begin
	Ended     time.Time  `json:"ended,omitzero"`   // zero while it runs, or when nobody saw its end
	Code      int        `json:"code,omitempty"`
	Signal    int        `json:"signal,omitempty"`
	OOM       bool       `json:"oom,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Message   string     `json:"message,omitempty"`
	Killed    string     `json:"killed,omitempty"` // why its node ended it: LivenessProbe and the like
	Tail      string     `json:"tail,omitempty"`   // its last words
	Seq       events.Seq `json:"seq"`              // of the newest event about it
}

// Runs are all runs of a pod's containers that the log tells of, oldest first.
type Runs []Run

// RunsOf reads them from the events that For kept. It needs no state, so a pod
// that is gone has them still.
func RunsOf(log []events.Envelope, pod events.Key) Runs {
	r := runs{at: map[runID]int{}}
	for _, e := range log {
		if e.Subject.Class() != "seen" {
			continue
		}
		node, err := e.Subject.Tail()
		b, bad := events.Decode[events.Seen](e)
		if err != nil || bad != nil {
			continue
		}
		for _, p := range b.Pods {
			if podKey(p) != pod {
				continue
			}
			for _, x := range p.Facts {
				r.fact(e.Seq, node, p.UID, x)
			}
		}
	}
	return r.rows
}

type runID struct {
	pod       events.UID
	container string
	run       int
}

type runs struct {
	rows Runs
	at   map[runID]int // where a run's row stands
}

// fact enters what a node says of a run. After a new lease a node says again
// what it is not sure of: the first word counts.
func (r *runs) fact(seq events.Seq, node string, pod events.UID, x events.Fact) {
	switch x.Kind {
	case events.FactStarted, events.FactExited, events.FactNotStarted, events.FactKilling:
	default:
		return
	}
	id := runID{pod, x.Container, x.Run}
	i, ok := r.at[id]
	if !ok {
		i = len(r.rows)
		r.at[id] = i
		r.rows = append(r.rows, Run{Pod: pod, Container: x.Container, Run: x.Run, Node: node, Started: x.StartedAt, Seq: seq})
	}
	row := &r.rows[i]
	switch {
	case x.Kind == events.FactKilling:
		row.Killed = x.Reason
	case x.Kind == events.FactStarted:
		if row.Started.IsZero() && row.Ended.IsZero() {
			row.Started = x.At
		}
	case row.Ended.IsZero():
		row.Ended, row.Code, row.Signal, row.OOM, row.Seq = x.At, x.Code, x.Signal, x.OOM, seq
		row.Reason, row.Message, row.Tail = x.Reason, x.Message, x.Tail
	}
}

// String is a table for people, times in UTC.
func (r Runs) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "SEQ\tCONTAINER\tRUN\tSTARTED\tENDED\tRAN\tCODE\tREASON\tNODE")
	for _, x := range r {
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Seq, x.Container, x.Run, clock(x.Started), clock(x.Ended), x.ran(), x.code(), x.why(), x.Node)
	}
	_ = w.Flush() // a string builder takes everything
	return b.String()
}

// JSON is the same for programs.
func (r Runs) JSON() json.RawMessage { return events.MustBody(r) }

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func (r Run) ran() string {
	if r.Started.IsZero() || r.Ended.IsZero() {
		return "-"
	}
	return r.Ended.Sub(r.Started).Round(time.Millisecond).String()
}

func (r Run) code() string {
	if r.Ended.IsZero() {
		return "-"
	}
	return fmt.Sprint(r.Code)
}

func (r Run) why() string {
	switch {
	case r.Ended.IsZero():
		return "-"
	case r.OOM:
		return "OOMKilled"
	case r.Killed != "":
		return r.Killed
	case r.Reason == "":
		return "-"
	}
	return r.Reason
}
