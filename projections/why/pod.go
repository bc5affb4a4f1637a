package why

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// pod says how a pod stands: the first thing that keeps it from running, in the
// order in which a pod comes to run.
func (q Question) pod(a *Answer, o *projections.Object) {
	p, ok := q.State.PodOf(o.Key)
	if !ok {
		return
	}
	switch {
	case o.Deletion != nil:
		q.leaving(a, o, p)
	case p.Failed != nil:
		a.Verdict = fmt.Sprintf("Failed: %s", join(p.Failed.Reason, p.Failed.Message))
		a.fault = fault{level: levelFailing, cause: "failed " + q.owner(o) + " " + p.Failed.Reason, since: p.FailedAt.Time, next: q.command("describe", o.Key)}
	case p.Node == "":
		q.pending(a, o)
	case p.Lost:
		a.Verdict = fmt.Sprintf("is on %s, which is silent: what is known of it is old", p.Node)
		a.WaitsFor = p.Node + " to be heard of again"
		a.fault = q.silence(p.Node)
	default:
		q.containers(a, o, p)
		q.resize(a, o, p)
		q.config(a)
	}
}

// config tells what changed of what a pod that runs, or fails to, was made with.
func (q Question) config(a *Answer) {
	a.Config = q.Config
	for _, c := range q.Config {
		a.Details = append(a.Details, c.words(q))
	}
}

func join(reason, message string) string {
	if message == "" {
		return reason
	}
	return strings.TrimSpace(reason + ": " + message)
}

func (q Question) leaving(a *Answer, o *projections.Object, p *projections.Pod) {
	a.Verdict = fmt.Sprintf("Terminating: %s asked for its deletion", o.Deletion.Actor)
	a.fault = fault{level: levelMoving, cause: "leaving " + p.Node, since: o.Deletion.Deadline(), next: q.command("why", o.Key)}
	switch {
	case p.Node == "" || !p.Stopped.IsZero() || o.Deletion.Force:
		a.WaitsFor = "its removal from the log"
		q.kept(a, o)
	default:
		left := o.Deletion.Deadline().Sub(q.Now)
		a.WaitsFor = fmt.Sprintf("%s to say that it stopped", p.Node)
		if left > 0 {
			a.WaitsFor += fmt.Sprintf(" (it is killed in %s)", table.Age(left))
		}
	}
}

func gateNames(gates []corev1.PodSchedulingGate) string {
	names := make([]string, len(gates))
	for i, g := range gates {
		names[i] = g.Name
	}
	return strings.Join(names, ", ")
}

// pending tells what each node said, and the nearest fix.
func (q Question) pending(a *Answer, o *projections.Object) {
	reasons := q.Because
	if v, ok := q.State.Verdict(o.Key); ok && len(reasons) == 0 && v.UID == o.UID {
		reasons = v.Reasons
	}
	a.Reasons = reasons
	if len(reasons) == 0 {
		a.Verdict, a.WaitsFor = "Pending: no node was chosen yet", "the scheduler"
		if !projections.Ours(o.PodSpec()) {
			a.WaitsFor = "the scheduler " + o.PodSpec().SchedulerName + " to bind it"
		}
		if gates := o.PodSpec().SchedulingGates; len(gates) > 0 {
			a.Verdict, a.WaitsFor = "Pending: it is held back", "somebody to take its scheduling gates off: "+gateNames(gates)
		}
		a.fault = fault{level: levelMoving, cause: "pending " + q.owner(o), since: o.Created.Time, next: q.command("why", o.Key)}
		return
	}
	a.Verdict = "Pending: no node takes it"
	a.fault = fault{level: levelFailing, cause: "pending " + q.owner(o), since: o.Created.Time, next: q.command("why", o.Key)}
	if i := slices.IndexFunc(reasons, func(r events.Reason) bool { return r.Code == corev1.PodReasonUnschedulable }); i >= 0 {
		a.Verdict = "Pending: " + reasons[i].Said // the sum of the others
		reasons = slices.Delete(slices.Clone(reasons), i, i+1)
	}
	if len(reasons) > 0 {
		a.Fix = reasons[0].Fix
	}
	a.Details = append(a.Details, together(reasons)...)
	a.WaitsFor = "a node that takes it"
}

// The bounds of what nodes say: how many of those that say the same are named, and
// how many lines there are. `why -o json` has them all.
const (
	maxNamed = 4
	maxSaid  = 20
)

// together tells what nodes said, once for all that say the same.
func together(reasons []events.Reason) []string {
	var out []events.Reason
	at, names := map[events.Reason]int{}, [][]string{}
	for _, r := range reasons {
		same := r
		same.About, same.Fix = events.Key{}, ""
		i, ok := at[same]
		if !ok {
			i = len(out)
			at[same], out, names = i, append(out, r), append(names, nil)
		}
		names[i] = append(names[i], r.About.Name)
	}
	lines := make([]string, len(out))
	for i, r := range out {
		if n := names[i]; len(n) > maxNamed {
			r.About.Name = fmt.Sprintf("%s and %d others", strings.Join(n[:maxNamed-1], ", "), len(n)-maxNamed+1)
		} else {
			r.About.Name = strings.Join(n, ", ")
		}
		lines[i] = r.String()
	}
	if more := len(lines) - maxSaid; more > 0 {
		lines = append(lines[:maxSaid], fmt.Sprintf("and %d others, each for a reason of its own", more))
	}
	return lines
}

// containers says what the first container that does not run waits for.
func (q Question) containers(a *Answer, o *projections.Object, p *projections.Pod) {
	if p.Finished(o) {
		a.Verdict = "has run to its end"
		for _, c := range p.Containers {
			if c.Exit == nil {
				continue
			}
			a.Details = append(a.Details, exitWords(c.Name, c.Exit)...)
			if c.Exit.Code != 0 && a.fault.level == 0 {
				a.Verdict = fmt.Sprintf("Failed: container %s ended with code %d", c.Name, c.Exit.Code)
				a.fault = fault{level: levelFailing, cause: q.exitCause(o, c.Name), since: c.Exit.FinishedAt, next: q.logs(o, c.Name, "")}
				a.Fix = a.fault.next
			}
		}
		return
	}
	if name, ok := p.NotInitialized(o.PodSpec()); ok {
		q.initializing(a, o, p, name)
		return
	}
	for _, w := range o.PodSpec().Containers {
		c, ok := p.Container(w.Name)
		if !ok {
			a.Verdict, a.WaitsFor = "is on "+p.Node+" and not started yet", p.Node+" to start "+w.Name
			a.fault = fault{level: levelMoving, cause: "starting " + q.owner(o), since: p.Assigned.Time, next: q.command("why", o.Key)}
			return
		}
		if c.Phase != projections.Running {
			q.container(a, o, p, w, c)
			return
		}
	}
	a.Verdict = fmt.Sprintf("runs on %s", p.Node)
	a.Details = append(a.Details, strains(p)...)
	if p.ReadySince.IsZero() {
		a.Verdict += " and is not ready"
		a.WaitsFor = "its containers to be ready"
		q.unwell(a, o, p)
		a.fault = fault{level: levelMoving, cause: "unready " + q.owner(o), since: p.ReadyTurned.Time, next: q.command("describe", o.Key)}
		if p.ReadyTurned.IsZero() {
			a.fault.since = p.Assigned.Time
		}
		q.restartedLately(a, o, p)
		return
	}
	a.Verdict += fmt.Sprintf(" and has been ready for %s", table.Age(q.Now.Sub(p.ReadySince.Time)))
	if n := p.Restarts(); n > 0 {
		a.Details = append(a.Details, fmt.Sprintf("restarts: %d", n))
		for _, c := range p.Containers {
			if c.Last != nil {
				a.Details = append(a.Details, exitWords(c.Name, c.Last)...)
			}
		}
		q.restartedLately(a, o, p)
	}
	q.strainedLately(a, o, p)
}

// container explains one container that does not run.
func (q Question) container(a *Answer, o *projections.Object, p *projections.Pod, w corev1.Container, c projections.Container) {
	a.fault = fault{level: levelFailing, cause: "container " + q.owner(o) + " " + c.Name + " " + c.Reason, since: c.Since.Time, next: q.command("describe", o.Key)}
	switch reason := c.Reason; {
	case c.Phase == projections.Waiting && (strings.Contains(reason, "Image") || strings.Contains(reason, "Pull")):
		image, whose := w.Image, "container "+c.Name
		failed := q.failedPull(o.Key, c)
		if failed.Volume != "" {
			image, whose = failed.Image, fmt.Sprintf("volume %s, which container %s mounts,", failed.Volume, c.Name)
		}
		a.Verdict = fmt.Sprintf("%s: the image %q of %s cannot be had", reason, image, whose)
		if failed.Message != "" {
			a.Details = append(a.Details, failed.Message)
		}
		a.WaitsFor = "the next try" + q.until(c)
		a.Fix = q.imageFix(o, p, reason, failed.Message, image)
		a.fault.cause = "image " + q.owner(o) + " " + c.Name + " " + image
		a.fault.since, a.fault.next = q.firstOf(o.Key, c.Name, events.FactPullFailed, c.Since.Time), q.mend(o)
	case c.Phase == projections.Waiting && strings.HasPrefix(c.Message, events.PostStartRuns):
		a.fault.level = levelMoving
		a.Verdict = fmt.Sprintf("container %s runs and does not count as started: %s", c.Name, c.Message)
		a.WaitsFor = "the postStart hook of container " + c.Name
	case c.Exit != nil:
		word := reason
		if c.Phase == projections.Terminated {
			word = "restarting"
		}
		a.Verdict = fmt.Sprintf("%s: container %s does not stay up", word, c.Name)
		a.Details = append(a.Details, exitWords(c.Name, c.Exit)...)
		a.WaitsFor = fmt.Sprintf("try %d of container %s%s", c.Run+1, c.Name, q.until(c))
		a.Fix = q.exitFix(o, c)
		a.fault.cause = q.exitCause(o, c.Name)
		a.fault.since, a.fault.next = q.firstOf(o.Key, c.Name, events.FactExited, c.Since.Time), q.mendExit(o, p, c, c.Exit)
	default:
		if reason == "" || reason == "ContainerCreating" || reason == "PodInitializing" {
			a.fault.level = levelMoving
		}
		a.Verdict = fmt.Sprintf("%s: container %s is not started yet", join(reason, c.Message), c.Name)
		a.WaitsFor = p.Node + " to start it"
		if waits, fix := q.missing(o, p, c.Message); fix != "" {
			a.WaitsFor, a.Fix = waits, fix
		}
	}
}

// imageFix is what would let a node have an image.
func (q Question) imageFix(o *projections.Object, p *projections.Pod, reason, said, image string) string {
	correct := "correct the image of " + q.owner(o)
	switch {
	case reason == "InvalidImageName":
		return correct
	case reason == "ErrImageNeverPull":
		return fmt.Sprintf("bring it to %s (stave image import FILE), or let imagePullPolicy of %s pull it", p.Node, q.owner(o))
	case strings.Contains(said, ": unreachable: "):
		return fmt.Sprintf("see that %s reaches the registry, or %s", p.Node, correct)
	case strings.Contains(said, ": unauthorized: "):
		return fmt.Sprintf("name a Secret with a login in imagePullSecrets of %s (stave create secret docker-registry), or %s", q.owner(o), correct)
	}
	return correct + ", or push " + image + " to its registry"
}

// failedPull is the last pull that failed: the state has the words of the
// back-off that followed.
func (q Question) failedPull(k events.Key, c projections.Container) events.Fact {
	failed := events.Fact{Message: c.Message}
	for _, e := range q.Log {
		if e.Subject.Class() != "seen" {
			continue
		}
		b, _ := events.Decode[events.Seen](e)
		for _, p := range b.Pods {
			if podKey(p) != k {
				continue
			}
			for _, x := range p.Facts {
				if x.Kind == events.FactPullFailed && x.Container == c.Name && x.Message != "" {
					failed = x
				}
			}
		}
	}
	return failed
}

func (q Question) until(c projections.Container) string {
	if left := c.Until.Sub(q.Now); !c.Until.IsZero() && left > 0 {
		return " in " + table.Age(left)
	}
	return ""
}

// exitWords is how a run ended, with the end of its output.
func exitWords(name string, x *projections.Exit) []string {
	line := fmt.Sprintf("%s, run %d: exit code %d", name, x.Run, x.Code)
	if x.Signal != 0 {
		line += fmt.Sprintf(", signal %d", x.Signal)
	}
	if x.Reason != "" {
		line += " (" + x.Reason + ")"
	}
	if x.OOM && x.Reason != "OOMKilled" {
		line += ", out of memory"
	}
	if x.Message != "" {
		line += ": " + strings.TrimSpace(x.Message)
	}
	out := []string{line}
	if x.Crowded != "" {
		out = append(out, x.Crowded)
	}
	if x.Killed != "" {
		out = append(out, "its node ended it: "+x.Killed)
	}
	if tail := strings.TrimSpace(x.Tail); tail != "" && tail != strings.TrimSpace(x.Message) {
		out = append(out, "its last words:\n"+tail)
	}
	return out
}

func (q Question) exitFix(o *projections.Object, c projections.Container) string {
	switch {
	case c.Exit.Killed != "":
		return fmt.Sprintf("look why: stave logs %s%s -c %s --previous; if the probe or hook is at fault, correct it in %s", o.Key.Name, q.dashN(), c.Name, q.owner(o))
	case c.Exit.OOM || c.Exit.Reason == "OOMKilled":
		return fmt.Sprintf("raise the memory limit of container %s in %s", c.Name, q.owner(o))
	case neverRan(c.Exit):
		return fmt.Sprintf("correct the command of container %s in %s", c.Name, q.owner(o))
	}
	return fmt.Sprintf("stave logs %s%s -c %s --previous", o.Key.Name, q.dashN(), c.Name)
}

// owner is what a person would edit: the topmost owner, or the object itself.
func (q Question) owner(o *projections.Object) string {
	if up := owners(q.State, o); len(up) > 0 {
		return q.spelled(up[len(up)-1].Key)
	}
	return q.spelled(o.Key)
}
