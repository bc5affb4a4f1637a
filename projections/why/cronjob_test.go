package why_test

import (
	"slices"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

// A CronJob is told what becomes of its Jobs: they end, it takes them away, or somebody else does.
func TestWordsOfCronJobs(t *testing.T) {
	l := foldtest.New()
	l.Lease("tests")
	cron := foldtest.Key(events.CronJobs, "tidy")
	l.Create(cron, `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"tidy","namespace":"default"},"spec":{"schedule":"* * * * *"}}`)
	job := func(name string) events.Key {
		k := foldtest.Key(events.Jobs, name)
		l.CreateChild(k, cron, 0, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"`+name+`","namespace":"default"},"spec":{}}`)
		return k
	}
	ends := func(k events.Key, condition string) {
		l.Add(events.Envelope{Subject: events.StatusSubject(k), Type: events.TypeOf(k.Resource, events.VerbStatus), Version: 1,
			Body: events.MustBody(events.JobReported{UID: foldtest.UID(k, 1), Conditions: []events.JobCondition{{Type: condition}}})})
	}
	done, failed, replaced, missing := job("tidy-1"), job("tidy-2"), job("tidy-3"), job("tidy-4")
	ends(done, "SuccessCriteriaMet")
	ends(done, "Complete")
	ends(done, "Complete")
	ends(failed, "Failed")
	l.Delete(replaced, events.Controller("cronjob"), 0)
	l.Delete(missing, events.User("ann"), 0)
	for _, k := range []events.Key{done, replaced, missing} {
		l.Remove(k)
	}
	var told []string
	for _, r := range why.EventsOf(l.Events, cron) {
		if r.Reason != "SuccessfulCreate" {
			told = append(told, r.Type+" "+r.Reason+" "+r.From+": "+r.Message)
		}
	}
	want := []string{
		"Normal SawCompletedJob cronjob-controller: Saw completed job: tidy-1, condition: Complete",
		"Normal SawCompletedJob cronjob-controller: Saw completed job: tidy-2, condition: Failed",
		"Normal SuccessfulDelete cronjob-controller: Deleted job tidy-3",
		"Normal MissingJob cronjob-controller: Active job went missing: tidy-4",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q,\nwant %q", told, want)
	}
	last := job("tidy-5")
	l.Delete(cron, events.User("ann"), 0)
	l.Remove(last)
	if rows := why.EventsOf(l.Events, cron); rows[len(rows)-1].Message != "Created job tidy-5" {
		t.Errorf("a Job that goes with its CronJob: %+v", rows[len(rows)-1])
	}
	all, late := why.NewTeller(l.State), why.NewTeller(l.State)
	for _, e := range l.Events {
		all.Take(e)
		if e.Type.Verb() != events.VerbCreated {
			late.Take(e) // Jobs of which it has not read that they were made
		}
	}
	if n := len(rowsOf(all, cron)); n != len(want)+5 {
		t.Errorf("a teller has %d rows", n)
	}
	if rows := rowsOf(late, cron); len(rows) != 1 || rows[0].Message != "Saw completed job: tidy-2, condition: Failed" {
		t.Errorf("one that comes late: %+v", rows)
	}
}
