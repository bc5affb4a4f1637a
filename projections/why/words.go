package why

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Spelled is an object as people type it, "pod/web-1", with its namespace where
// it is not the one that the reader is in ("" is "default").
func Spelled(k events.Key, home string) string {
	name := string(k.Resource)
	if kind, ok := events.KindOf(k.Resource); ok {
		name = kind.Singular
	}
	name += "/" + k.Name
	if k.Namespace != "" && k.Namespace != homeOr(home) {
		name += " in namespace " + k.Namespace
	}
	return name
}

func homeOr(home string) string {
	if home == "" {
		return "default"
	}
	return home
}

// spelled is an object in a sentence about the one in question, whose namespace
// has been said.
func (q Question) spelled(k events.Key) string {
	if k.Namespace == q.Key.Namespace {
		return Spelled(k, k.Namespace)
	}
	return Spelled(k, q.Home)
}

// dashN is the -n that a command about the object in question needs.
func (q Question) dashN() string {
	if ns := q.Key.Namespace; ns != "" && ns != homeOr(q.Home) {
		return " -n " + ns
	}
	return ""
}

// Words is an event in a few words; of what a node saw, only what concerns an
// object, or all of it when about is zero.
func Words(e events.Envelope, about events.Key) string {
	return Question{Key: about}.what(e)
}

func withMessage(text, message string) string {
	if message != "" {
		text += " (" + message + ")"
	}
	return text
}

// what is an event in a few words.
func (q Question) what(e events.Envelope) string {
	switch e.Subject.Class() {
	case "assign":
		node, _ := e.Subject.Tail()
		return "assigned " + q.named(events.PodsIn(e)) + " to " + node
	case "seen":
		return q.saw(e)
	case "lease":
		return "took the lease"
	case "template":
		return "stored a pod template"
	case "change":
		if b, err := events.Decode[events.Asked](e); err == nil {
			return fmt.Sprintf("asked for %d to %d of %d changes", b.From+1, b.From+len(b.Then), b.Of)
		}
	case "cut":
		c, _ := events.Decode[events.Cut](e)
		return fmt.Sprintf("cut the log: history begins at %d", c.First)
	}
	k, err := e.Subject.Key()
	if err != nil {
		return string(e.Type)
	}
	switch e.Type.Verb() {
	case events.VerbStatus:
		if r, err := events.Decode[events.JobReported](e); err == nil && k.Resource == events.Jobs && len(r.Conditions) > 0 {
			c := r.Conditions[len(r.Conditions)-1]
			return "reported " + c.Reason + " of " + q.spelled(k)
		}
		if r, err := events.Decode[events.RevisionsReported](e); err == nil && r.Update != "" {
			if r.Current == r.Update {
				return q.spelled(k) + " is of " + r.Update
			}
			return "rolls " + q.spelled(k) + " from " + r.Current + " to " + r.Update
		}
		if k.Resource == events.Autoscalers {
			return q.scaled(k, e)
		}
		if r, err := events.Decode[events.NodeReported](e); err == nil && r.Reason != "" {
			return "reported " + r.Reason + " of " + q.spelled(k)
		}
	case events.VerbStatusWritten:
		return "wrote the status of " + q.spelled(k)
	case events.VerbVerdict:
		if v, err := events.Decode[events.Verdict](e); err == nil {
			return concluded(q.spelled(k), v)
		}
	case events.VerbChanged:
		if n, ok := scaledTo(e); ok {
			return fmt.Sprintf("scaled %s to %d", q.spelled(k), n)
		}
	case events.VerbResized:
		return judged(q.spelled(k), e)
	case events.VerbDeletionRequested:
		return "asked for the deletion of " + q.spelled(k)
	}
	return strings.ReplaceAll(e.Type.Verb(), "-", " ") + " " + q.spelled(k)
}

func concluded(name string, v events.Verdict) string {
	if len(v.Reasons) == 0 {
		return "found nothing against " + name + " any more"
	}
	return name + " does not move: " + projections.Refusal(v.Reasons)
}

// named is the pod in question out of a list, or how many they are.
func (q Question) named(pods []events.Key) string {
	switch {
	case slices.Contains(pods, q.Key):
		return q.spelled(q.Key)
	case len(pods) == 1:
		return q.spelled(pods[0])
	}
	return fmt.Sprintf("%d pods", len(pods))
}

// saw is what a flush says of the pod in question, or, when none is, of all.
func (q Question) saw(e events.Envelope) string {
	b, _ := events.Decode[events.Seen](e)
	var told, all []string
	for _, p := range b.Pods {
		var facts []string
		for _, x := range p.Facts {
			facts = append(facts, factWords(x))
		}
		if podKey(p) == q.Key {
			told = append(told, facts...)
		}
		all = append(all, q.spelled(podKey(p))+": "+strings.Join(facts, ", "))
	}
	switch {
	case len(told) > 0:
		return strings.Join(told, ", ")
	case q.Key.Resource == events.Pods:
		return "saw " + q.named(events.PodsIn(e))
	}
	return strings.Join(all, "; ")
}

func factWords(x events.Fact) string {
	switch x.Kind {
	case events.FactSandbox:
		return "gave it the address " + x.IP
	case events.FactPulling, events.FactPulled:
		return string(x.Kind) + " " + x.Image
	case events.FactStarted:
		if x.Run > 1 {
			return fmt.Sprintf("started %s for the %s time", x.Container, ordinal(x.Run))
		}
		return "started " + x.Container
	case events.FactExited:
		return fmt.Sprintf("%s exited with code %d", x.Container, x.Code)
	case events.FactReady, events.FactUnready, events.FactUnhealthy:
		return withMessage(fmt.Sprintf("%s is %s", x.Container, x.Kind), x.Message)
	case events.FactUp:
		return x.Container + " has started up"
	case events.FactKilling:
		return withMessage("ends "+x.Container, x.Message)
	case events.FactAnew:
		return "begins anew with all of its containers, as a rule of " + x.Container + " says"
	case events.FactStarved, events.FactCrowded:
		return x.Container + ": " + x.Message
	case events.FactResized:
		return "has the resources that it was granted"
	case events.FactNotResized:
		return withMessage("has not the resources that it was granted", x.Message)
	case events.FactStopping, events.FactStopped:
		return string(x.Kind)
	case events.FactObserved:
		return fmt.Sprintf("goes by generation %d of the spec", x.Count)
	}
	return strings.TrimSuffix(strings.TrimSpace(fmt.Sprintf("%s: %s %s", x.Container, x.Reason, x.Message)), ":")
}

func ordinal(n int) string {
	suffix := "th"
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		suffix = "st"
	case n%10 == 2:
		suffix = "nd"
	case n%10 == 3:
		suffix = "rd"
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
