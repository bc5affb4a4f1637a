package deployment

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// set is one ReplicaSet as it is and as it shall be.
type set struct {
	o           *projections.Object
	have        int // spec.replicas now
	size        int // what it shall be
	revision    int64
	setRevision int64
	desired     string // of the annotation, "" when it is not there
	available   int    // pods ready for its minReadySeconds
}

// survey reads the ReplicaSets, oldest first, and how many of their pods are available.
func (p *pass) survey() {
	for o := range p.v.Children(p.o.UID) {
		if o.Key.Resource != events.ReplicaSets || o.Deletion != nil {
			continue
		}
		rs := projections.As[*appsv1.ReplicaSet](o)
		s := &set{o: o, have: 1, desired: rs.Annotations[desiredAnnotation]}
		if rs.Spec.Replicas != nil {
			s.have = int(*rs.Spec.Replicas)
		}
		s.size = s.have
		s.revision, _ = strconv.ParseInt(rs.Annotations[RevisionAnnotation], 10, 64) // none is 0
		s.setRevision = s.revision
		n, next := p.v.Available(o, p.now)
		s.available, p.out.WakeAt = n, reconcilers.Sooner(p.out.WakeAt, next)
		p.sets = append(p.sets, s)
	}
	slices.SortFunc(p.sets, func(a, b *set) int {
		return cmp.Or(cmp.Compare(a.o.Created.Seq, b.o.Created.Seq), cmp.Compare(a.o.Key.Name, b.o.Key.Name))
	})
}

// identify finds the set of the present template and settles the revisions: the
// newest one is the present one's, also after a rollback.
func (p *pass) identify() bool {
	now, ok := p.v.NewReplicaSet(p.o)
	if !ok {
		return true
	}
	for _, s := range p.sets {
		if s.o.Key == now.Key {
			p.fresh = s
		}
	}
	if p.fresh == nil { // it is being deleted: its name is free when it is gone
		p.because(events.Reason{Code: "Waiting", About: now.Key, What: "deletion"})
		return false
	}
	if newest := p.newestOld(); p.fresh.revision <= newest {
		p.fresh.setRevision = newest + 1
	}
	return true
}

func (p *pass) newestOld() int64 {
	var n int64
	for _, s := range p.old() {
		n = max(n, s.revision)
	}
	return n
}

// old are the sets of other templates, oldest first.
func (p *pass) old() []*set {
	return slices.DeleteFunc(slices.Clone(p.sets), func(s *set) bool { return s == p.fresh })
}

// begin makes the set of the present template. The deployment gets its revision by the next decision, beside the set's first pods: one object and a
// body are appended without an atomic batch (bus), which would be most of what one pod waits for.
func (p *pass) begin() {
	size := min(p.want, max(0, p.want+p.surge-p.taken()))
	if p.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		if p.retire() {
			return
		}
		size = p.want
	}
	hash, ok := p.freeHash()
	if !ok {
		return
	}
	k := events.Key{Resource: events.ReplicaSets, Namespace: p.o.Key.Namespace, Name: p.o.Key.Name + "-" + hash}
	t := labelled(&p.d.Spec.Template, hash)
	raw := events.MustBody(t)
	body := events.Created{Owner: p.owner(), Template: events.HashOf(raw), Object: p.object(k, hash, size)}
	whole := func() events.Object { return p.whole(t, body.Object) }
	desk := birth.Before(p.v, p.o, p.guards)
	if said := desk.Object(k, whole); said != "" {
		birth.Refuse(&p.out, p.v, p.o, k, said, p.now)
		return
	}
	if _, known := p.v.Template(body.Template); !known {
		p.out.Emit(reconcilers.StoreTemplate(raw))
	}
	desk.Bear(&p.out, k, body, whole, p.now)
}

// whole is a set as others are asked about it.
func (p *pass) whole(t *corev1.PodTemplateSpec, raw []byte) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: *t.DeepCopy()}}
	if err := json.Unmarshal(raw, rs); err != nil {
		panic(fmt.Sprintf("a set of %s: %v", p.o.Key, err)) // these are its own bytes
	}
	manifest.Default(rs)
	rs.OwnerReferences = []metav1.OwnerReference{p.owner().Reference()}
	return rs
}

// hashTries bounds the search for a name; two templates of one deployment with
// one 32-bit hash are rare already.
const hashTries = 16

// freeHash is the template's hash as Kubernetes writes it. A set of another
// template that happens to have the same one adds a salt.
func (p *pass) freeHash() (string, bool) {
	for salt := range hashTries {
		hash := Hash(&p.d.Spec.Template, salt)
		k := events.Key{Resource: events.ReplicaSets, Namespace: p.o.Key.Namespace, Name: p.o.Key.Name + "-" + hash}
		if _, taken := p.v.Get(k); !taken {
			return hash, true
		}
	}
	p.because(events.Reason{Code: "NameTaken", About: p.o.Key, What: "replicasets"})
	return "", false
}

// Hash is the pod-template-hash of a template: at most ten characters of
// Kubernetes' name alphabet. salt is 0 but for collisions.
func Hash(t *corev1.PodTemplateSpec, salt int) string {
	h := fnv.New32a()
	h.Write(events.MustBody(t)) // a Hash's Write never fails
	if salt > 0 {
		h.Write([]byte(strconv.Itoa(salt)))
	}
	return events.SafeEncode(strconv.FormatUint(uint64(h.Sum32()), 10))
}

func labelled(t *corev1.PodTemplateSpec, hash string) *corev1.PodTemplateSpec {
	n := *t
	n.Labels = withHash(t.Labels, hash)
	return &n
}

func withHash(labels map[string]string, hash string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	out[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	return out
}

// object is a ReplicaSet without its template.
func (p *pass) object(k events.Key, hash string, size int) []byte {
	annotations := map[string]any{}
	for name, value := range p.handedDown() {
		annotations[name] = value
	}
	annotations[RevisionAnnotation] = strconv.FormatInt(p.newestOld()+1, 10)
	annotations[desiredAnnotation] = strconv.Itoa(p.want)
	annotations[maxAnnotation] = strconv.Itoa(p.most())
	selector := p.d.Spec.Selector.DeepCopy()
	selector.MatchLabels = withHash(selector.MatchLabels, hash)
	spec := map[string]any{"replicas": size, "selector": selector}
	if p.d.Spec.MinReadySeconds > 0 {
		spec["minReadySeconds"] = p.d.Spec.MinReadySeconds
	}
	return events.MustBody(map[string]any{
		"apiVersion": "apps/v1", "kind": "ReplicaSet",
		"metadata": map[string]any{"name": k.Name, "namespace": k.Namespace,
			"labels": withHash(p.d.Spec.Template.Labels, hash), "annotations": annotations},
		"spec": spec,
	})
}

// handedDown are the deployment's annotations that its present set has too.
func (p *pass) handedDown() map[string]string {
	out := map[string]string{}
	for name, value := range p.d.Annotations {
		if !ownAnnotation(name) {
			out[name] = value
		}
	}
	return out
}

// ownAnnotation tells whether a deployment's annotation stays with it.
func ownAnnotation(name string) bool {
	switch name {
	case RevisionAnnotation, desiredAnnotation, maxAnnotation, corev1.LastAppliedConfigAnnotation:
		return true
	}
	return false
}
