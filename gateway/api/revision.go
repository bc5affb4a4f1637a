package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
	"github.com/stave-run/stave/reconcilers/revision"
)

// revision tells what the pods of a revision were last started with, as far as
// it is no longer so.
func (s *Server) revision(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.RevisionRequest](r)
	if err != nil {
		return nil, err
	}
	now := s.Views.Durable()
	o, ok := now.Get(req.Set)
	if !ok || req.Set.Resource != events.ReplicaSets && req.Set.Resource != events.Revisions {
		return wire.RevisionReply{Error: notFound(req.Set)}, nil
	}
	seq, err := s.lastPodOf(ctx, now, o)
	if err != nil {
		return nil, err
	}
	if h, err := s.horizon(ctx, seq); h != nil || err != nil {
		return wire.RevisionReply{Seq: seq, Horizon: h}, err
	}
	then, err := s.refold(ctx, now, wire.Moment{Seq: seq})
	if err != nil {
		return nil, err
	}
	reply := wire.RevisionReply{Seq: seq, Time: then.Time}
	for _, m := range projections.Mentions(o) {
		c, differs, err := s.revised(m, then, now, req.Set.Namespace)
		if err != nil {
			return nil, err
		}
		if differs {
			reply.Configs = append(reply.Configs, c)
		}
	}
	return reply, nil
}

// revised is a ConfigMap or Secret as it was then, if it is another one now.
func (s *Server) revised(m projections.Mention, then, now projections.State, namespace string) (wire.RevisedConfig, bool, error) {
	k := m.Key(namespace)
	c := wire.RevisedConfig{Resource: m.Resource, Name: m.Name}
	row, had := then.Get(k)
	if !had {
		return c, false, nil
	}
	was, _ := then.Object(k, then.Time)
	is, has := now.Get(k)
	if has && sameConfig(s.Vault.Show(was), s.Vault.Show(is.Typed())) {
		return c, false, nil
	}
	var err error
	c.Gone, c.Lost = !has, len(s.Vault.Missing(k, row.Raw)) > 0
	c.Then, err = s.encode(then, was, m.Resource)
	return c, true, err
}

// configChanges are those of the ConfigMaps that a pod mentions since it was made.
func (s *Server) configChanges(ctx context.Context, v projections.State, pod events.Key) ([]why.ConfigChange, error) {
	o, ok := v.Get(pod)
	if !ok {
		return nil, nil
	}
	var out []why.ConfigChange
	for _, m := range projections.ConfigOf(o.PodSpec()) {
		k := m.Key(pod.Namespace)
		log, err := s.past(ctx, v, k)
		if err != nil {
			return nil, err
		}
		out = append(out, why.ConfigChanges(log, k, o.Created.Seq)...)
	}
	return out, nil
}

// sameConfig compares what two ConfigMaps or Secrets hold.
func sameConfig(a, b events.Object) bool {
	equal := func(x, y []byte) bool { return string(x) == string(y) }
	switch a := a.(type) {
	case *corev1.ConfigMap:
		b, ok := b.(*corev1.ConfigMap)
		return ok && maps.Equal(a.Data, b.Data) && maps.EqualFunc(a.BinaryData, b.BinaryData, equal)
	case *corev1.Secret:
		b, ok := b.(*corev1.Secret)
		return ok && maps.EqualFunc(a.Data, b.Data, equal)
	}
	return false
}

// lastPodOf is where in the log the newest pod of a revision was made; where what keeps the revision was, if it never had one.
func (s *Server) lastPodOf(ctx context.Context, v projections.State, kept *projections.Object) (events.Seq, error) {
	last, maker, made := kept.Created.Seq, kept.Key, kept.UID
	if kept.Key.Resource == events.Revisions {
		if kept.Owner == nil {
			return last, nil
		}
		maker, made = kept.OwnerKey(), kept.Owner.UID
	}
	seqs, err := s.Log.About(ctx, maker)
	if err != nil {
		return 0, fmt.Errorf("look in the log's index: %w", err)
	}
	seqs = slices.DeleteFunc(seqs, func(seq events.Seq) bool { return seq < kept.Created.Seq || seq > v.Seq })
	err = s.Log.At(ctx, seqs, func(e events.Envelope) error {
		if e.Type != events.TypeOf(events.Pods, events.VerbCreated) {
			return nil
		}
		b, err := events.Decode[events.Created](e)
		if err == nil && b.Owner != nil && b.Owner.UID == made && (maker == kept.Key || revisedBy(v, kept, b)) {
			last = e.Seq
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read the log: %w", err)
	}
	return last, nil
}

// revisedBy tells whether a pod was made of what a ControllerRevision holds: it says so in a label, of its own or of its template.
func revisedBy(v projections.State, kept *projections.Object, pod events.Created) bool {
	var own metav1.PartialObjectMetadata
	if json.Unmarshal(pod.Object, &own) != nil {
		return false
	}
	says, ok := own.Labels[appsv1.ControllerRevisionHashLabelKey]
	if t, there := v.Template(pod.Template); !ok && there {
		says = t.Pod().Labels[appsv1.ControllerRevisionHashLabelKey]
	}
	return says != "" && (says == kept.Key.Name || says == revision.HashOf(kept))
}
