package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers/run"
)

// set is one replica set as a decision saw it.
type set struct {
	uid     events.UID
	size    version
	earlier []version
}

// sets are the replica sets of a deployment, as of a sequence, by uid.
func (j *judge) sets(owner events.UID, namespace string, at events.Seq) map[events.Key]set {
	out := map[events.Key]set{}
	for k, o := range j.l.objects {
		if k.Resource != events.ReplicaSets || k.Namespace != namespace || o.owner == nil || o.owner.UID != owner || o.deleting {
			continue
		}
		if v, ok := o.at(at); ok {
			out[k] = set{o.uid, v, o.versions}
		}
	}
	return out
}

// available counts the pods of a set that answered when a decision looked.
func (j *judge) available(owner events.UID, at events.Seq, now time.Time, ripe int) int {
	n := 0
	for _, p := range j.l.order {
		if p.owner == owner && p.counts() && j.l.ripeAt(p, at, now, ripe) {
			n++
		}
	}
	return n
}

func (j *judge) pods(owner events.UID) int {
	n := 0
	for _, p := range j.l.order {
		if p.owner == owner && p.counts() {
			n++
		}
	}
	return n
}

// sized judges a deployment's decision on the sizes of its sets: a rollout may
// not ask for fewer available pods than maxUnavailable leaves. What a person
// takes away by scaling is no move of ours.
func (j *judge) sized(w run.Work, at events.Seq) {
	o := j.l.objects[w.Key]
	if o == nil {
		return
	}
	d, ok := o.at(at)
	if !ok || d.recreate || d.paused {
		return
	}
	before, after := 0, 0
	var told []string
	for k, s := range j.sets(o.uid, w.Key.Namespace, at) {
		if s.size.want > 0 && s.size.sized != d.want {
			return // the wish changed: this one is scaled, not rolled
		}
		size := s.size.want
		for _, r := range w.Records {
			if key, _ := r.Envelope.Subject.Key(); key == k && r.Envelope.Type.Verb() == events.VerbChanged {
				var b wish
				var next workload
				read(r.Envelope.Body, &b)
				read(b.Object, &next)
				size = next.version(0).want
			}
		}
		n := j.available(s.uid, at, w.Records[0].Envelope.Now, d.ripe)
		before, after = before+min(n, s.size.want), after+min(n, size)
		told = append(told, fmt.Sprintf("%s from %d to %d, %d available", k.Name, s.size.want, size, n))
	}
	slices.Sort(told)
	if after < before && after < d.want-d.away {
		j.w.fail("budget", "%s wants %d, at most %d unavailable, and goes from %d available to %d: %s", w.Key, d.want, d.away, before, after, strings.Join(told, "; "))
	}
}

// filled judges a replica set's decision on its pods.
func (j *judge) filled(w run.Work, at events.Seq) {
	o := j.l.objects[w.Key]
	if o == nil {
		return
	}
	v, ok := o.at(at)
	if !ok {
		return
	}
	made, gone, answering := 0, 0, 0
	going := map[events.UID]bool{}
	for _, r := range w.Records {
		switch r.Envelope.Type {
		case events.TypeOf(events.Pods, events.VerbCreated):
			made++
		case events.TypeOf(events.Pods, events.VerbDeletionRequested):
			var b wish
			read(r.Envelope.Body, &b)
			gone++
			going[b.UID] = true
			if p := j.l.pods[b.UID]; p != nil && p.readyAt(at) && !j.l.silentAt(p.node, at) {
				answering++
			}
		}
	}
	if made > 0 {
		j.surge(w, o, at, made)
	}
	if gone == 0 {
		return
	}
	if left := j.pods(o.uid) - gone; left < v.want {
		j.w.fail("budget", "%s wants %d and keeps %d", w.Key, v.want, left)
	}
	for _, p := range j.l.order {
		if answering > 0 && p.owner == o.uid && p.counts() && p.deleted == 0 && !going[p.uid] && p.born <= at && !p.readyAt(at) {
			j.w.fail("budget", "%s takes a pod that answers and keeps %s, which does not", w.Key, p.key)
		}
	}
}

// follows tells whether a set is still as an earlier wish made it: sized for it, or with the pods that it had then.
func (s set) follows(wish, pods int) bool {
	if s.size.want > 0 && s.size.sized == wish {
		return true
	}
	return pods > s.size.want && slices.ContainsFunc(s.earlier, func(v version) bool { return v.sized == wish && v.want >= pods })
}

// leftBy is the size of a set that was there before its deployment was: another one of the name had left it.
func (s set) leftBy(born events.Seq) (want int, ok bool) {
	for _, v := range s.earlier {
		if v.seq < born {
			want, ok = v.want, true
		}
	}
	return want, ok
}

// surge judges the making of pods: never more of a deployment's than its wish
// and maxSurge.
func (j *judge) surge(w run.Work, rs *entry, at events.Seq, made int) {
	if rs.owner == nil {
		return
	}
	k := events.Key{Resource: rs.owner.Resource, Namespace: w.Key.Namespace, Name: rs.owner.Name}
	o := j.l.objects[k]
	if o == nil || o.uid != rs.owner.UID {
		return
	}
	d, ok := o.at(at)
	if !ok {
		return
	}
	all, limit := made, d.want+d.surge
	for _, s := range j.sets(o.uid, k.Namespace, at) {
		pods := j.pods(s.uid)
		all += pods
		for _, before := range o.versions { // a set that is yet to follow the wish follows the one before
			if before.want != d.want && s.follows(before.want, pods) {
				limit = max(limit, before.want+before.surge)
			}
		}
		if left, ok := s.leftBy(o.versions[0].seq); ok && left == s.size.want { // adopted, and yet to be sized anew
			limit = max(limit, left+d.surge)
		}
	}
	if all > limit {
		j.w.fail("surge", "%s wants %d, at most %d more, and gets %d", k, d.want, d.surge, all)
	}
}
