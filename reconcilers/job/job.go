// Package job runs pods to their end, as often as a Job wants: it makes those that
// are missing, with growing pauses after failures, takes away those that are too
// many, decides when the Job is over and how, and takes a Job away whose time after
// its end is up.
//
// What pods that are gone came to is remembered by the fold (projections.Job), not
// here: no end is lost with the pod that had it, so no finalizer holds one back.
package job

import (
	"cmp"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// The pause after a pod that failed: the first is failBase, each further one in a
// row twice as long, up to failMax.
const (
	failBase = 10 * time.Second
	failMax  = 6 * time.Minute
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct {
	// Guards are asked about pods beside limits and quotas.
	Guards birth.Guards
}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return projections.JobController }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 3 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append(birth.Reads(), events.Jobs, events.Pods)
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{
		events.TemplateStored,
		events.TypeOf(events.Pods, events.VerbCreated),
		events.TypeOf(events.Pods, events.VerbChanged),
		events.TypeOf(events.Pods, events.VerbDeletionRequested),
		events.TypeOf(events.Jobs, events.VerbStatus),
		events.TypeOf(events.Jobs, events.VerbVerdict),
		events.TypeOf(events.Jobs, events.VerbDeletionRequested),
	}
}

// Keys implements reconcilers.Reconciler. The fold touches a Job's row when one of
// its pods ends; restarts count too, and touch no row but the pod's.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	namespace, eases := birth.Eases(c)
	switch {
	case c.Key.Resource == events.Jobs && c.After != nil:
		return []events.Key{c.Key}
	case c.Key.Resource == events.Pods && c.After != nil && !c.After.Controlled():
		return reconcilers.Wooers(v, events.Jobs, c.After, selectorOf)
	case c.Key.Resource == events.Pods && c.After != nil && c.After.Owner != nil && c.After.Owner.Resource == events.Jobs && restarted(c):
		return []events.Key{c.After.OwnerKey()}
	case eases:
		return barredJobs(v, namespace)
	}
	return nil
}

func restarted(c projections.Change) bool {
	return c.PodBefore != nil && c.PodAfter != nil && c.PodBefore.Restarts() != c.PodAfter.Restarts()
}

// selectorOf is how a Job finds its pods: what a person chose, or its uid.
func selectorOf(o *projections.Object) (labels.Selector, bool) {
	j := projections.As[*batchv1.Job](o)
	if j.Spec.ManualSelector == nil || !*j.Spec.ManualSelector {
		return labels.SelectorFromSet(labels.Set{batchv1.ControllerUidLabel: string(o.UID)}), true
	}
	s, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
	return s, err == nil && j.Spec.Selector != nil && !s.Empty()
}

// Decide implements reconcilers.Reconciler.
func (r Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil || o.Job == nil {
		return reconcilers.Decision{} // its pods are the garbage collector's
	}
	job := projections.As[*batchv1.Job](o)
	if projections.ManagedElsewhere(job) {
		return reconcilers.Decision{Because: []events.Reason{{Code: "ManagedBy", About: k, What: *job.Spec.ManagedBy}}}
	}
	selector, ok := selectorOf(o)
	if !ok {
		return reconcilers.Decision{Because: []events.Reason{{Code: "InvalidSelector", About: k}}}
	}
	p := &pass{v: v, o: o, job: job, mem: o.Job, now: now, guards: r.Guards, live: map[int]int{}}
	if p.survey(selector); len(p.d.Events) > 0 {
		p.d.More = true // one that was just adopted may have to go, and no decision writes a pod twice
		return p.d
	}
	p.conditions = conditionsOf(o.Job)
	p.decide()
	return p.d
}

// pass is one decision under way.
type pass struct {
	v      reconcilers.View
	o      *projections.Object
	job    *batchv1.Job
	mem    *projections.Job
	now    time.Time
	guards birth.Guards

	active   []member    // neither at their end nor on their way out
	leaving  int         // on their way out, not yet at their end
	live     map[int]int // how many pods of an index are active, or hold it while they leave
	restarts int         // of containers of active pods

	desk       *birth.Desk             // before the pods that it makes
	shaped     *corev1.PodTemplateSpec // as they are made
	conditions []events.JobCondition
	d          reconcilers.Decision
}

type member struct {
	o     *projections.Object
	p     *projections.Pod
	index int // -1: none
}

// survey sorts the pods, releases those whose labels no longer match, and adopts
// orphans that do.
func (p *pass) survey(selector labels.Selector) {
	matches := func(pod *projections.Object) bool { return selector.Matches(labels.Set(pod.PodLabels())) }
	for pod := range p.v.Children(p.o.UID) {
		switch {
		case pod.Key.Resource != events.Pods:
		case pod.Deletion == nil && !matches(pod):
			p.d.Emit(reconcilers.Disown(pod, reconcilers.By(p.o.UID)))
		default:
			p.count(pod)
		}
	}
	for pod := range p.v.Orphans(events.Pods, p.o.Key.Namespace) {
		if row, ok := p.v.PodOf(pod.Key); ok && pod.Deletion == nil && matches(pod) && !over(pod, row) {
			p.d.Emit(reconcilers.Adopt(pod, p.o))
			p.count(pod)
		}
	}
}

// over tells whether nothing of a pod will run again.
func over(o *projections.Object, row *projections.Pod) bool {
	return !row.Stopped.IsZero() || row.Failed != nil || row.Finished(o)
}

func (p *pass) count(pod *projections.Object) {
	row, ok := p.v.PodOf(pod.Key)
	if !ok || over(pod, row) {
		return
	}
	m := member{pod, row, -1}
	if i, has := projections.IndexOf(pod); has && projections.Indexed(p.job) {
		m.index = i
	}
	if pod.Deletion != nil {
		p.leaving++
		if p.waitsForEnd() {
			p.live[m.index]++
		}
		return
	}
	p.active = append(p.active, m)
	p.live[m.index]++
	p.restarts += row.Restarts()
}

// waitsForEnd tells whether pods are replaced only when they are at their end.
func (p *pass) waitsForEnd() bool {
	r := p.job.Spec.PodReplacementPolicy
	return r != nil && *r == batchv1.Failed
}

// decide goes by what is known in Kubernetes' order: what was decided before stays,
// then whether the Job has failed, then whether it is done, then how many pods it needs.
func (p *pass) decide() {
	if end, ok := p.mem.Finished(); ok {
		p.stop(p.active)
		p.expire(end)
		return
	}
	target, ok := p.mem.Target()
	if !ok {
		target.JobCondition, ok = p.verdict()
	}
	if ok {
		p.finish(target.JobCondition)
		return
	}
	p.suspend()
	if !projections.Suspended(p.job) && p.job.Spec.ActiveDeadlineSeconds != nil {
		p.d.Wake(p.deadline())
	}
	p.manage()
}

// finish decides how the Job ends, takes away what still runs, and says that it has
// ended once nothing does.
func (p *pass) finish(target events.JobCondition) {
	p.put(target)
	if len(p.active) == 0 && p.leaving == 0 {
		end := target
		end.Type = string(batchv1.JobComplete)
		if target.Type == string(batchv1.JobFailureTarget) {
			end.Type = string(batchv1.JobFailed)
		}
		p.put(end)
	}
	p.report()
	p.stop(p.active)
	p.d.Because = append(p.d.Because, events.Reason{Code: events.Code(target.Reason), About: p.o.Key, Said: target.Message})
}

// stop asks pods to go. What the Job decided has to be in the log before.
func (p *pass) stop(pods []member) {
	for _, m := range pods {
		if !p.d.Emit(reconcilers.RequestDeletion(m.o, events.DeletionRequested{Grace: reconcilers.GraceOf(m.o)})) {
			return
		}
	}
}

// expire takes a Job away when its time after the end is up.
func (p *pass) expire(end projections.JobCondition) {
	ttl := p.job.Spec.TTLSecondsAfterFinished
	if ttl == nil {
		return
	}
	at := end.Time.Add(time.Duration(*ttl) * time.Second)
	if at.After(p.now) {
		p.d.Wake(at)
		return
	}
	p.d.Emit(reconcilers.RequestDeletion(p.o, events.DeletionRequested{Foreground: true}))
}

// suspend says when a Job begins to be suspended, and when it ceases to be.
func (p *pass) suspend() {
	_, was := p.mem.Condition(batchv1.JobSuspended)
	switch is := projections.Suspended(p.job); {
	case is && !was:
		p.put(events.JobCondition{Type: string(batchv1.JobSuspended), Reason: "JobSuspended", Message: "Job suspended"})
	case !is && (was || p.mem.Started.IsZero()): // resumed, maybe before anybody looked
		p.put(events.JobCondition{Type: string(batchv1.JobSuspended), False: true, Reason: "JobResumed", Message: "Job resumed"})
	}
	p.report()
}

// report appends the conditions when they are others than before.
func (p *pass) report() {
	if !slices.Equal(p.conditions, conditionsOf(p.mem)) {
		p.d.Emit(reconcilers.Report(p.o.Key, events.JobReported{UID: p.o.UID, Conditions: p.conditions}))
	}
}

// put sets a condition.
func (p *pass) put(c events.JobCondition) {
	i := slices.IndexFunc(p.conditions, func(x events.JobCondition) bool { return x.Type == c.Type })
	if i < 0 {
		p.conditions = append(slices.Clone(p.conditions), c)
		return
	}
	p.conditions = slices.Clone(p.conditions)
	p.conditions[i] = c
}

func conditionsOf(j *projections.Job) []events.JobCondition {
	var out []events.JobCondition
	for _, c := range j.Conditions {
		out = append(out, c.JobCondition)
	}
	return out
}

// first orders pods by which has to go first: doubles of an index, the highest
// index, without a node, not running, not ready, younger.
func (p *pass) first() []member {
	out := slices.Clone(p.active)
	double := map[*projections.Object]bool{}
	seen := map[int]bool{}
	slices.SortFunc(out, func(a, b member) int {
		return cmp.Or(a.o.Created.Time.Compare(b.o.Created.Time), strings.Compare(a.o.Key.Name, b.o.Key.Name))
	})
	for _, m := range out {
		double[m.o] = m.index >= 0 && seen[m.index] || m.index >= p.completions() && projections.Indexed(p.job)
		seen[m.index] = true
	}
	slices.SortStableFunc(out, func(a, b member) int {
		return cmp.Or(-boolean(double[a.o], double[b.o]), cmp.Compare(stageOf(a), stageOf(b)), b.o.Created.Time.Compare(a.o.Created.Time))
	})
	return out
}

func boolean(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// stageOf is how far a pod is: without a node, not ready, ready.
func stageOf(m member) int {
	switch {
	case m.p.Node == "":
		return 0
	case m.p.ReadySince.IsZero():
		return 1
	}
	return 2
}
