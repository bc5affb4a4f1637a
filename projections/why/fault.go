package why

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// level says how bad something is.
type level int

// The levels, the worst last. What moves is on its way; it is a fault only when
// it has been so for longer than patience.
const (
	levelMoving level = iota + 1
	levelWaiting
	levelFailing
	levelDown
)

// patience is how long starting, stopping and becoming ready may take before a
// page of what is wrong names it.
const patience = time.Minute

// lately is how long a restart counts against a container that runs again.
const lately = 10 * time.Minute

// fault is what an answer's verdict means to somebody who looks for what is
// wrong. Its zero value says that nothing is.
type fault struct {
	level level
	cause string    // the same for all objects that suffer from the same thing
	since time.Time // when it began
	next  string    // a command that shows more of it, or mends it
	said  string    // in place of the verdict, which speaks of the present moment
}

// command is a verb about an object, as it can be typed.
func (q Question) command(verb string, k events.Key) string {
	return "stave " + verb + " " + Spelled(k, k.Namespace) + q.dashN()
}

func (q Question) logs(o *projections.Object, container, more string) string {
	return fmt.Sprintf("stave logs %s%s -c %s%s", o.Key.Name, q.dashN(), container, more)
}

// mend is what changes the template of a pod: taking the rollout back if there
// is something to go back to, editing what owns it, or a look at a pod that
// nobody owns, since a pod's own template stays.
func (q Question) mend(o *projections.Object) string {
	up := owners(q.State, o)
	if len(up) == 0 {
		return q.command("describe", o.Key)
	}
	top := up[len(up)-1]
	if top.Key.Resource == events.Deployments {
		for child := range q.State.Children(top.UID) {
			if child.Key.Resource == events.ReplicaSets && child.UID != up[0].UID {
				return q.command("rollout undo", top.Key)
			}
		}
	}
	return q.command("edit", top.Key)
}

// mendExit is the next step after an end: more memory, another command, or a look at its last words.
func (q Question) mendExit(o *projections.Object, p *projections.Pod, c projections.Container, x *projections.Exit) string {
	up := owners(q.State, o)
	if x.OOM && len(up) > 0 {
		if limit := memoryLimit(o, c.Name); limit > 0 {
			more := resource.NewQuantity(2*limit, resource.BinarySI)
			return fmt.Sprintf("stave set resources %s%s -c %s --limits=memory=%s", Spelled(up[len(up)-1].Key, o.Key.Namespace), q.dashN(), c.Name, more)
		}
	}
	if neverRan(x) {
		return q.mend(o)
	}
	if c.Phase == projections.Running || c.Run > 1 {
		return q.logs(o, c.Name, " --previous")
	}
	return q.logs(o, c.Name, "")
}

// neverRan tells whether an end says that the command itself is wrong.
func neverRan(x *projections.Exit) bool {
	return x.StartedAt.IsZero() && !unseen(x) || x.Code == 126 || x.Code == 127 || x.Code == 128
}

// unseen tells whether nobody saw a run end: the machine was restarted under it.
func unseen(x *projections.Exit) bool { return x.Reason == "ContainerStatusUnknown" }

func memoryLimit(o *projections.Object, container string) int64 {
	for _, b := range o.PodSpec().Containers {
		if b.Name == container {
			return b.Resources.Limits.Name(corev1.ResourceMemory, resource.BinarySI).Value()
		}
	}
	return 0
}

func (q Question) exitCause(o *projections.Object, container string) string {
	return "exit " + q.owner(o) + " " + container
}

// restartedLately makes a fault of a container that runs now and was started
// again a short while ago: a crash loop runs most of the time.
func (q Question) restartedLately(a *Answer, o *projections.Object, p *projections.Pod) {
	for _, c := range p.Containers {
		x := c.Last
		if x == nil || x.Code == 0 && !x.OOM || unseen(x) || q.Now.Sub(x.FinishedAt) > lately {
			continue
		}
		a.fault = fault{level: levelFailing, cause: q.exitCause(o, c.Name), since: q.firstOf(o.Key, c.Name, events.FactExited, x.FinishedAt), next: q.mendExit(o, p, c, x),
			said: fmt.Sprintf("container %s does not stay up: started %s, the last time %s ago", c.Name, times(c.Run), table.Age(q.Now.Sub(c.StartedAt)))}
		return
	}
}

func times(n int) string {
	if n == 2 {
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// silence is the fault of a node that is not heard of, and of what is on it.
func (q Question) silence(node string) fault {
	f := fault{level: levelDown, cause: "node " + node, next: "stave describe node " + node}
	if n, ok := q.State.Node(node); ok {
		f.since = n.Since.Time
	}
	return f
}

// firstOf is when a node first told something of a container of this pod; what
// the log of the question does not hold began at the time given.
func (q Question) firstOf(k events.Key, container string, kind events.FactKind, at time.Time) time.Time {
	for _, e := range q.Log {
		if e.Subject.Class() != "seen" {
			continue
		}
		b, _ := events.Decode[events.Seen](e) // one that cannot be read tells nothing anyway
		for _, p := range b.Pods {
			if podKey(p) != k {
				continue
			}
			for _, x := range p.Facts {
				if x.Kind == kind && x.Container == container && (kind != events.FactExited || x.Code != 0) {
					return e.Time
				}
			}
		}
	}
	return at
}
