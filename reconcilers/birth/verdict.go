package birth

import (
	"regexp"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Again is when a controller looks once more whether it may make its pods: what bars
// them may hang on anything that a policy reads.
const Again = 10 * time.Second

// Refuse says in a decision that its object must not make what it is there to make, has
// it look once more later, and writes the reason down when that is news.
func Refuse(d *reconcilers.Decision, v reconcilers.View, o *projections.Object, about events.Key, said string, now time.Time) {
	why := Refused(about, said)
	d.Because = append(d.Because, why...)
	d.Wake(now.Add(Again))
	if News(v, o, said) {
		d.Emit(reconcilers.Conclude(o, why))
	}
}

// News tells whether a refusal, "" when there is none, is another one than the log has. That only numbers moved is no news, as for
// Kubernetes' conditions: the object would write each time that others in its namespace come and go.
func News(v reconcilers.View, o *projections.Object, said string) bool {
	was := Barred(v, o)
	return (was == "") != (said == "") || gist(was) != gist(said)
}

var (
	used   = regexp.MustCompile(`, used: .*?, limited: `)
	number = regexp.MustCompile(`\b[0-9]\S*`)
)

// gist is a refusal without what may be another each time: of a quota what is used of it, of anybody else's words the numbers
// and times.
func gist(said string) string {
	if strings.Contains(said, "exceeded quota: ") {
		return used.ReplaceAllString(said, ", limited: ")
	}
	return number.ReplaceAllString(said, "#")
}

// Clear takes back what was written down of a refusal; false when the decision is full.
func Clear(d *reconcilers.Decision, v reconcilers.View, o *projections.Object) bool {
	return Barred(v, o) == "" || d.Emit(reconcilers.Conclude(o, nil))
}

// Barred is what the log says keeps a controller from making pods, "" when nothing does.
func Barred(v reconcilers.View, o *projections.Object) string {
	_, said, _ := v.FailsToCreate(o)
	return said
}

// Held are the objects of a resource in a namespace that must not make what they are there to make.
func Held(v reconcilers.View, r events.Resource, namespace string) []events.Key {
	var out []events.Key
	for o := range v.List(r, namespace) {
		if Barred(v, o) != "" {
			out = append(out, o.Key)
		}
	}
	return out
}

// Refused are the reasons of a controller whose pod must not be made.
func Refused(pod events.Key, said string) []events.Reason {
	return []events.Reason{{Code: events.FailedCreate, About: pod, Said: said}}
}
