package why_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
)

// page is a text of answers under their titles, held against a golden file.
type page struct {
	t *testing.T
	strings.Builder
}

func (p *page) tell(title string, l *foldtest.Log, k events.Key) {
	p.t.Helper()
	fmt.Fprintf(p, "# %s\n%s\n", title, ask(l, k))
}

func (p *page) golden(name string) {
	p.t.Helper()
	golden(p.t, name, p.String())
}

const oneContainer = `"spec":{"containers":[{"name":"c","image":"i"}]}`

func TestWhyJobs(t *testing.T) {
	l, p := foldtest.Nginx(1), &page{t: t}
	job := foldtest.Key(events.Jobs, "count")
	report := func(conditions ...events.JobCondition) {
		l.Add(events.Envelope{Subject: events.StatusSubject(job), Type: events.TypeOf(job.Resource, events.VerbStatus), Actor: events.Controller("job"),
			Body: events.MustBody(events.JobReported{UID: foldtest.UID(job, 1), Conditions: conditions})})
	}
	l.Create(job, `{"spec":{"completions":3,"parallelism":2,"backoffLimit":1,"template":{`+oneContainer+`}}}`)
	p.tell("a Job before its first pod", l, job)
	pods := []events.Key{foldtest.Key(events.Pods, "count-a"), foldtest.Key(events.Pods, "count-b")}
	for _, k := range pods {
		l.CreateChild(k, job, l.State.Seq, `{"metadata":{"labels":{"job-name":"count"}},`+strings.Replace(oneContainer, `{"con`, `{"restartPolicy":"Never","con`, 1)+`}`)
	}
	l.Assign("n1", pods...)
	l.Saw(pods[0], foldtest.Up("c", "10.1.1.1", l.Now)...)
	l.Saw(pods[0], events.Fact{Kind: events.FactExited, Container: "c", Run: 1, Reason: "Completed", StartedAt: l.Now, At: l.Now}, events.Fact{Kind: events.FactStopped, At: l.Now})
	l.Saw(pods[1], events.Fact{Kind: events.FactPullFailed, Container: "c", Image: "i", Reason: "ErrImagePull", Message: "i: not found"})
	p.tell("one pod is done, one has no image", l, job)
	report(events.JobCondition{Type: "Suspended", Reason: "JobSuspended", Message: "Job suspended"})
	p.tell("suspended", l, job)
	report(events.JobCondition{Type: "Suspended", False: true, Reason: "JobResumed", Message: "Job resumed"},
		events.JobCondition{Type: "FailureTarget", Reason: "DeadlineExceeded", Message: "Job was active longer than specified deadline"})
	p.tell("failing: its pods stop", l, job)
	report(events.JobCondition{Type: "Failed", Reason: "DeadlineExceeded", Message: "Job was active longer than specified deadline"})
	p.tell("failed", l, job)

	other := foldtest.Key(events.Jobs, "other")
	l.Create(other, `{"spec":{"managedBy":"example.com/queue","template":{`+oneContainer+`}}}`)
	p.tell("another controller's", l, other)
	p.golden("why-jobs.txt")
}

func TestWhyCronJobs(t *testing.T) {
	l, p := foldtest.Nginx(1), &page{t: t}
	cron := foldtest.Key(events.CronJobs, "nightly")
	spec := func(more string) string {
		return `{"spec":{"schedule":"0 3 * * *","timeZone":"Europe/Berlin",` + more + `"jobTemplate":{"spec":{"template":{` + oneContainer + `}}}}}`
	}
	l.Create(cron, spec(""))
	p.tell("it has made none yet", l, cron)
	l.CreateChild(foldtest.Key(events.Jobs, "nightly-1"), cron, 0, `{"spec":{"template":{`+oneContainer+`}}}`)
	p.tell("one goes on", l, cron)
	l.Change(cron, foldtest.Person, spec(`"suspend":true,`))
	p.tell("suspended", l, cron)
	p.golden("why-cronjobs.txt")
}

func TestWhyDaemonSets(t *testing.T) {
	l, p := foldtest.Nginx(1), &page{t: t}
	l.Node("n2", events.NodeFacts{Hostname: "n2"})
	for _, n := range []string{"t1", "t2", "t3", "t4"} {
		l.Create(foldtest.Key(events.Nodes, n), `{"spec":{"taints":[{"key":"gpu","value":"yes","effect":"NoSchedule"}]}}`)
	}
	set := foldtest.Key(events.DaemonSets, "agent")
	l.Create(set, `{"spec":{"selector":{"matchLabels":{"app":"agent"}},"template":{"metadata":{"labels":{"app":"agent"}},`+oneContainer+`}}}`)
	p.tell("a DaemonSet before its first pod", l, set)
	pod := foldtest.Key(events.Pods, "agent-a")
	l.CreateChild(pod, set, l.State.Seq, `{"metadata":{"labels":{"app":"agent"}},`+oneContainer+`}`)
	l.Assign("n1", pod)
	p.tell("one node has its pod, another is to get one", l, set)
	p.golden("why-daemonsets.txt")
}

func TestWhyVolumes(t *testing.T) {
	l, p := foldtest.Nginx(1), &page{t: t}
	claim, volume := foldtest.Key(events.Claims, "data"), foldtest.Key(events.Volumes, "v1")
	l.Create(claim, `{"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"local","resources":{"requests":{"storage":"1Gi"}}}}`)
	p.tell("nobody looked at the claim yet", l, claim)
	l.Conclude(claim, events.Reason{Code: "WaitForFirstConsumer", Said: "waiting for first consumer to be created before binding"})
	p.tell("no pod uses it", l, claim)
	body := func(more string) string {
		return `{"metadata":{"annotations":{"stave.run/node":"n1"}},"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"storageClassName":"local",
			"persistentVolumeReclaimPolicy":"Retain","local":{"path":"/claims/v1"}` + more + `}}`
	}
	l.Create(volume, body(""))
	p.tell("a volume that nobody has", l, volume)
	l.Change(volume, events.Controller("volume"), body(fmt.Sprintf(`,"claimRef":{"namespace":"default","name":"data","uid":%q}`, foldtest.UID(claim, 1))))
	l.Change(claim, events.Controller("volume"), `{"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"local","volumeName":"v1","resources":{"requests":{"storage":"1Gi"}}}}`)
	p.tell("bound", l, claim)
	p.tell("its volume", l, volume)
	for i := range 5 {
		pod := foldtest.Key(events.Pods, fmt.Sprintf("user-%d", i))
		l.Create(pod, `{"spec":{"containers":[{"name":"c","image":"i"}],"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}]}}`)
		l.Assign("n1", pod)
	}
	l.Delete(claim, foldtest.Person, 0)
	l.Delete(volume, foldtest.Person, 0)
	p.tell("the claim is to go, and five pods use it", l, claim)
	p.tell("the volume is to go, and the claim has it", l, volume)
	l.Remove(claim)
	p.tell("the claim is gone", l, volume)
	p.golden("why-volumes.txt")
}

func TestWhyWhatIsKept(t *testing.T) {
	l, p := foldtest.Nginx(1), &page{t: t}
	space := events.Key{Resource: events.Namespaces, Name: "shop"}
	in := func(r events.Resource, name string) events.Key {
		return events.Key{Resource: r, Namespace: "shop", Name: name}
	}
	l.Create(space, `{"spec":{"finalizers":["kubernetes"]}}`)
	p.tell("a namespace", l, space)
	for i := range 5 {
		l.Create(in(events.ConfigMaps, fmt.Sprintf("c%d", i)), `{"metadata":{"finalizers":["example.com/keep"]}}`)
	}
	l.Delete(in(events.ConfigMaps, "c0"), foldtest.Person, 0)
	p.tell("what a finalizer keeps", l, in(events.ConfigMaps, "c0"))
	l.Delete(space, foldtest.Person, 0)
	p.tell("the namespace is to go", l, space)
	l.Spec(foldtest.Deployment, events.VerbDeletionRequested, foldtest.Person, 0, events.DeletionRequested{UID: foldtest.UID(foldtest.Deployment, 1), Foreground: true})
	p.tell("a deletion in the foreground", l, foldtest.Deployment)
	p.golden("why-kept.txt")
}

func TestWhyResizes(t *testing.T) {
	l, p := foldtest.Nginx(1), &page{t: t}
	pod := foldtest.Key(events.Pods, "grows")
	spec := func(cpu string) string {
		return `{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"` + cpu + `"}}}]}}`
	}
	answer := func(refused events.Code, said string) {
		o, _ := l.State.Get(pod)
		l.Spec(pod, events.VerbResized, events.Controller("resize"), l.State.Seq, events.Resized{UID: foldtest.UID(pod, 1), Generation: o.Generation, Refused: refused, Said: said})
	}
	l.Create(pod, spec("100m"))
	l.Assign("n1", pod)
	l.Saw(pod, foldtest.Up("c", "10.1.1.1", l.Now)...)
	l.Change(pod, foldtest.Person, spec("500m"))
	p.tell("nobody looked at the wish yet", l, pod)
	answer(events.Deferred, "Node didn't have enough resource: cpu, requested: 500, used: 1700, capacity: 2000")
	p.tell("no room now", l, pod)
	answer("", "")
	granted := int(l.State.Seq)
	p.tell("granted", l, pod)
	l.Saw(pod, events.Fact{Kind: events.FactNotResized, At: l.Pass(time.Second).Now, Count: granted, Message: "cgroup is busy"})
	p.tell("the node could not", l, pod)
	l.Change(pod, foldtest.Person, spec("64"))
	answer(events.Infeasible, "Node didn't have enough capacity: cpu, requested: 64000, capacity: 2000")
	p.tell("never there", l, pod)
	p.golden("why-resizes.txt")
}
