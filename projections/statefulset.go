package projections

import (
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
)

// revisionsReported folds how far a controller has come with its templates.
func (f *folding) revisionsReported(k events.Key) {
	b, ok := body[events.RevisionsReported](f)
	if !ok {
		return
	}
	if _, ok := f.life(k, b.UID); ok {
		f.touch(k, func(o *Object) { o.Revisions = &b })
	}
}

// Ordinal reads the name of a StatefulSet's pod: the name of the set, and which of its
// pods it is. False for other names.
func Ordinal(pod string) (set string, n int, ok bool) {
	i := strings.LastIndexByte(pod, '-')
	if i <= 0 {
		return "", 0, false
	}
	n, err := strconv.Atoi(pod[i+1:])
	if err != nil || n < 0 || strconv.Itoa(n) != pod[i+1:] {
		return "", 0, false
	}
	return pod[:i], n, true
}

// Ordinals are the first ordinal of a StatefulSet and the one behind its last.
func Ordinals(set *appsv1.StatefulSet) (first, end int) {
	if set.Spec.Ordinals != nil {
		first = int(set.Spec.Ordinals.Start)
	}
	return first, first + int(replicasOf(set.Spec.Replicas))
}

// SetMember is one pod of a StatefulSet.
type SetMember struct {
	Pod      *Object
	Row      *Pod
	Ordinal  int
	Revision string // the ControllerRevision that it was made of
	Over     bool   // nothing of it will run again
	Ready    bool
	// Available tells whether it has been ready for minReadySeconds; else Ripe is when
	// it will have been, zero while it is not ready.
	Available bool
	Ripe      time.Time
}

// SetMembers are the pods of a StatefulSet as its controller and its status count
// them, those too that are on their way out.
func (s State) SetMembers(o *Object, now time.Time) []SetMember {
	var out []SetMember
	wait := minReady(o)
	for pod := range s.Children(o.UID) {
		row, ok := s.PodOf(pod.Key)
		if !ok || pod.Key.Resource != events.Pods {
			continue
		}
		m := SetMember{Pod: pod, Row: row, Ordinal: -1, Revision: pod.PodLabels()[appsv1.StatefulSetRevisionLabel], Over: ended(pod, row)}
		if set, n, ok := Ordinal(pod.Key.Name); ok && set == o.Key.Name {
			m.Ordinal = n
		}
		if since := s.ReadyAt(row); !since.IsZero() && !m.Over {
			ripe := since.Time.Add(wait)
			m.Ready, m.Available = true, !ripe.After(now)
			if !m.Available {
				m.Ripe = ripe
			}
		}
		out = append(out, m)
	}
	return out
}

// statefulSetStatus counts as Kubernetes does: pods on their way out are replicas
// until they are gone, and of no revision any more.
func (s State) statefulSetStatus(o *Object, v *appsv1.StatefulSet, now time.Time) appsv1.StatefulSetStatus {
	var st appsv1.StatefulSetStatus
	none := int32(0)
	st.CollisionCount = &none
	if r := o.Revisions; r != nil {
		st.ObservedGeneration, st.CurrentRevision, st.UpdateRevision, st.CollisionCount = r.Generation, r.Current, r.Update, &r.Collisions
	}
	for _, m := range s.SetMembers(o, now) {
		st.Replicas++
		if m.Ready {
			st.ReadyReplicas++
		}
		if m.Available {
			st.AvailableReplicas++
		}
		if m.Pod.Deletion != nil {
			continue
		}
		if m.Revision == st.CurrentRevision {
			st.CurrentReplicas++
		}
		if m.Revision == st.UpdateRevision {
			st.UpdatedReplicas++
		}
	}
	return st
}
