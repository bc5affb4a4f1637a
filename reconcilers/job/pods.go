package job

import (
	"fmt"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// maxPrefix is how much of an owner's name its pods' names keep, so that with
// index, dash and suffix they fit into a DNS label.
const maxPrefix = 63 - 5

// manage makes the pods that are missing and takes away those that are too many,
// never both at once.
func (p *pass) manage() {
	if projections.Suspended(p.job) {
		p.stop(p.first())
		p.d.Because = append(p.d.Because, events.Reason{Code: "Suspended", About: p.o.Key})
		return
	}
	want, active := p.wanted(), len(p.active)
	if surplus := p.surplus(want); len(surplus) > 0 {
		p.stop(surplus)
		return
	}
	missing := want - active
	if p.waitsForEnd() {
		missing -= p.leaving
	}
	if missing > 0 {
		p.create(missing)
		return
	}
	birth.Clear(&p.d, p.v, p.o)
}

// wanted is how many pods shall be active now.
func (p *pass) wanted() int {
	parallel := int(*p.job.Spec.Parallelism)
	if p.job.Spec.Completions == nil { // a queue: the first pod that succeeds says that it is empty
		if p.mem.Succeeded > 0 {
			return min(len(p.active), parallel)
		}
		return parallel
	}
	return max(0, min(parallel, p.completions()-p.succeeded()))
}

// surplus are the pods that have to go: more than are wanted, doubles of an index,
// and pods of an index that is not wanted any more.
func (p *pass) surplus(want int) []member {
	ranked := p.first()
	n := max(0, len(ranked)-want)
	out := slices.Clone(ranked[:n])
	if !projections.Indexed(p.job) {
		return out
	}
	seen := map[int]bool{}
	for _, m := range slices.Backward(ranked[n:]) { // the ones to keep come last
		if seen[m.index] || m.index < 0 || m.index >= p.completions() {
			out = append(out, m)
		}
		seen[m.index] = true
	}
	return out
}

// create makes pods, unless they fail again and again: then the next ones wait.
func (p *pass) create(missing int) {
	indexes := slices.Repeat([]int{-1}, min(missing, reconcilers.MaxSteps+1)) // one more than fits: then there is more
	if p.job.Spec.BackoffLimitPerIndex == nil {
		if until := p.backoff(p.mem.Streak, p.mem.LastFail); !until.IsZero() {
			p.waits(until, p.mem.Streak)
			return
		}
	}
	if projections.Indexed(p.job) {
		indexes = p.pending(missing)
	}
	if len(indexes) == 0 {
		return
	}
	p.desk = birth.Before(p.v, p.o, p.guards)
	hash, ok := p.template()
	if !ok {
		return
	}
	if p.desk.Open() {
		birth.Clear(&p.d, p.v, p.o)
	}
	counter := p.o.Born
	for _, index := range indexes {
		k := p.free(&counter, index)
		if p.barred(k, index) || !p.desk.Bear(&p.d, k, p.child(k, index, hash), func() events.Object { return p.pod(k, index) }, p.now) {
			return
		}
	}
}

// free is the key of the next pod; names of one Job never repeat among 27⁵.
func (p *pass) free(counter *uint64, index int) events.Key {
	for {
		k := events.Key{Resource: events.Pods, Namespace: p.o.Key.Namespace, Name: p.prefix(index) + events.ChildSuffix(p.o.UID, *counter)}
		*counter++
		if _, taken := p.v.Get(k); !taken {
			return k
		}
	}
}

// pending are the lowest indexes that have no pod and are neither done nor failed;
// those that failed a short while ago wait.
func (p *pass) pending(n int) []int {
	var out []int
	for i := 0; i < p.completions() && len(out) < min(n, reconcilers.MaxSteps); i++ {
		if p.live[i] > 0 || p.mem.Completed.Has(i) || p.mem.Lost.Has(i) {
			continue
		}
		if t, failed := p.mem.Tries[i]; failed && p.job.Spec.BackoffLimitPerIndex != nil {
			if until := p.backoff(t.Failed+t.Ignored, t.Last); !until.IsZero() {
				p.waits(until, t.Failed+t.Ignored)
				continue
			}
		}
		out = append(out, i)
	}
	if n > len(out) && len(out) == reconcilers.MaxSteps {
		p.d.More = true
	}
	return out
}

// template is the hash of the pods' template, stored first when the log does not
// have it.
func (p *pass) template() (events.Hash, bool) {
	p.shaped = p.desk.Template(p.pattern())
	raw := events.MustBody(p.shaped)
	h := events.HashOf(raw)
	if _, ok := p.v.Template(h); ok {
		return h, true
	}
	return h, p.d.Emit(reconcilers.StoreTemplate(raw))
}

// indexEnv is where a container finds the index of its pod.
const indexEnv = "JOB_COMPLETION_INDEX"

// pattern is the template with what all pods of the Job have beside it.
func (p *pass) pattern() *corev1.PodTemplateSpec {
	j := p.job.DeepCopy()
	projections.FillJob(j, p.o.UID)
	t := &j.Spec.Template
	if !projections.Indexed(p.job) {
		return t
	}
	for _, list := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range list {
			if c := &list[i]; !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == indexEnv }) {
				c.Env = append(c.Env, corev1.EnvVar{Name: indexEnv, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{
					APIVersion: "v1", FieldPath: "metadata.labels['" + batchv1.JobCompletionIndexAnnotation + "']"}}})
			}
		}
	}
	return t
}

// prefix is what the name of a pod begins with, its index in it.
func (p *pass) prefix(index int) string {
	tail := "-"
	if index >= 0 {
		tail = "-" + strconv.Itoa(index) + "-"
	}
	return p.o.Key.Name[:min(len(p.o.Key.Name), maxPrefix-len(tail))] + tail
}

// difference is what one pod has beside the template.
type difference struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   differenceOfMeta  `json:"metadata"`
	Spec       *differenceOfSpec `json:"spec,omitempty"`
}

type differenceOfMeta struct {
	Annotations  map[string]string `json:"annotations,omitempty"`
	GenerateName string            `json:"generateName"`
	Labels       map[string]string `json:"labels,omitempty"`
	Name         string            `json:"name"`
	Namespace    string            `json:"namespace"`
}

type differenceOfSpec struct {
	Hostname string `json:"hostname"`
}

// The annotations that tell of an index' failures before this pod.
const (
	failedBefore  = "batch.kubernetes.io/job-index-failure-count"
	ignoredBefore = "batch.kubernetes.io/job-index-ignored-failure-count"
)

// child is a pod as its template by hash and what is its own.
func (p *pass) child(k events.Key, index int, hash events.Hash) events.Created {
	d := difference{APIVersion: "v1", Kind: "Pod", Metadata: differenceOfMeta{GenerateName: p.prefix(index), Name: k.Name, Namespace: k.Namespace}}
	if index >= 0 {
		own := strconv.Itoa(index)
		d.Metadata.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: own}
		d.Metadata.Labels = map[string]string{batchv1.JobCompletionIndexAnnotation: own}
		d.Spec = &differenceOfSpec{Hostname: fmt.Sprintf("%s-%d", p.o.Key.Name, index)}
		if p.job.Spec.BackoffLimitPerIndex != nil {
			t := p.mem.Tries[index]
			d.Metadata.Annotations[failedBefore] = strconv.Itoa(t.Failed)
			if t.Ignored > 0 {
				d.Metadata.Annotations[ignoredBefore] = strconv.Itoa(t.Ignored)
			}
		}
	}
	return events.Created{Owner: &events.Owner{Resource: p.o.Key.Resource, Name: p.o.Key.Name, UID: p.o.UID}, Template: hash, Object: events.MustBody(d)}
}

// pod is what a guard looks at: the pod as it would be.
func (p *pass) pod(k events.Key, index int) *corev1.Pod {
	return birth.Pod(p.o, k, p.prefix(index), p.shaped.DeepCopy())
}
