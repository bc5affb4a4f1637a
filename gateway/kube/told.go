package kube

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// What happens in the cluster stands in the log already, so nobody writes events of
// it: they are read out of the log when somebody asks, beside those of clients.

// told is what the log tells of the last hour to who wants these events.
func (n *notes) told(ctx context.Context, want selection) ([]events.Object, error) {
	if n.shelf != events.Happenings || !want.labels.Empty() {
		return nil, nil // they have no labels
	}
	namespace := want.namespace
	about, known := n.asked(want)
	if !known {
		return nil, nil // of a kind that is not in the log
	}
	if about.Resource != "" && about.Namespace == "" && namespace != "" && namespace != metav1.NamespaceDefault {
		return nil, nil
	}
	all, err := n.Past.Happened(ctx, about, namespace, n.Now().Add(-happeningLife))
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return n.happenings(all), nil
}

// asked is the one object that the events are wanted of; the zero key when it is
// not one. It is not known when the log has no such kind.
func (n *notes) asked(want selection) (about events.Key, known bool) {
	of := "involvedObject."
	if n.kind.Resource == events.Happenings1 {
		of = "regarding."
	}
	name, one := want.fields.RequiresExactMatch(of + "name")
	kind, kinds := want.fields.RequiresExactMatch(of + "kind")
	namespace, _ := want.fields.RequiresExactMatch(of + "namespace")
	if !kinds {
		return events.Key{}, true
	}
	for _, k := range events.Kinds {
		if k.Name != kind {
			continue
		}
		if !one || k.Namespaced && namespace == "" && want.namespace == "" {
			return events.Key{}, true
		}
		about = events.Key{Resource: k.Resource, Name: name}
		if about.Namespace = namespace; k.Namespaced && namespace == "" {
			about.Namespace = want.namespace
		}
		return about, true
	}
	return events.Key{}, false
}

// toldNamed is an event out of the log by its name; nil when there is none.
func (n *notes) toldNamed(ctx context.Context, k events.Key) events.Object {
	if n.shelf != events.Happenings || !strings.Contains(k.Name, ".") {
		return nil
	}
	all, err := n.Past.Happened(ctx, events.Key{}, k.Namespace, n.Now().Add(-happeningLife))
	if err != nil {
		return nil
	}
	for _, o := range n.happenings(all) {
		if o.GetName() == k.Name {
			return o
		}
	}
	return nil
}

// unwritable is why what is not on the shelf cannot be changed.
func (n *notes) unwritable(ctx context.Context, k events.Key) error {
	if n.toldNamed(ctx, k) == nil {
		return apierrors.NewNotFound(n.resource(), k.Name)
	}
	return apierrors.NewForbidden(n.resource(), k.Name, words("it is told from the log, where nothing is changed"))
}

// happenings are rows of the log as core/v1 events.
func (n *notes) happenings(all []wire.Happened) []events.Object {
	v := n.Views.Durable()
	out := make([]events.Object, 0, len(all))
	for _, h := range all {
		kind, ok := events.KindOf(h.Key.Resource)
		if !ok {
			continue
		}
		var uid types.UID
		if o, ok := v.Get(h.Key); ok {
			uid = types.UID(o.UID)
		}
		out = append(out, happening(h, kind, uid))
	}
	return out
}

// happening is one row as an event. Its name and uid follow from what it says, so
// that it is the same one each time.
func happening(h wire.Happened, kind events.Kind, about types.UID) *corev1.Event {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s\x00%s", h.Key, about, h.Type, h.Reason, h.From, h.Message))
	e := &corev1.Event{Type: h.Type, Reason: h.Reason, Message: h.Message, Count: int32(min(h.Count, 1<<31-1)),
		FirstTimestamp: seconds(h.First), LastTimestamp: seconds(h.Last), Source: corev1.EventSource{Component: h.From}, ReportingController: h.From,
		InvolvedObject: corev1.ObjectReference{Kind: kind.Name, APIVersion: kind.APIVersion(), Namespace: h.Key.Namespace, Name: h.Key.Name, UID: about}}
	e.Name = fmt.Sprintf("%s.%x", strings.NewReplacer(":", "-", "_", "-").Replace(strings.ToLower(h.Key.Name)), sum[:8])
	if e.Namespace = h.Key.Namespace; e.Namespace == "" {
		e.Namespace = metav1.NamespaceDefault
	}
	e.UID = types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
	e.CreationTimestamp, e.ResourceVersion = e.FirstTimestamp, events.At(h.Seq, 0).String()
	e.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Event"))
	return e
}

// seconds is a time as far as Kubernetes tells it.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }
