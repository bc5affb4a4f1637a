package projections

//lint:file-ignore SA1019 people still type "get endpoints"

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
)

// Endpoints and EndpointSlices are rows when somebody writes them, and follow from
// services with a selector and their pods otherwise: those are a fold, and no event.

// Follows tells whether an Endpoints, EndpointSlice or IPAddress under this key, by its
// own name, follows from a service.
func (s State) Follows(k events.Key) bool {
	switch k.Resource {
	case events.Endpoints: // asked at each change of a pod behind a service: it is not made for the answer
		svc, ok := s.serviceOf(k)
		return ok && followed(svc)
	case events.EndpointSlices, events.Addresses:
		_, ok := s.derived(k)
		return ok
	}
	return false
}

// followed tells whether Endpoints follow from a service: from the API's, and from one with a selector.
func followed(svc *Object) bool {
	return svc.Key == GatewayKey || chooses(As[*corev1.Service](svc))
}

// derived is what follows from a service under a key.
func (s State) derived(k events.Key) (events.Object, bool) {
	svc, ok := s.serviceOf(k)
	if !ok {
		return nil, false
	}
	for _, v := range s.following(svc, k.Resource) {
		if v.GetName() == k.Name {
			return v, true
		}
	}
	return nil, false
}

// following are the objects of one of these kinds that follow from a service.
func (s State) following(svc *Object, r events.Resource) (out []events.Object) {
	switch r {
	case events.Endpoints:
		if v := As[*corev1.Service](svc); svc.Key == GatewayKey {
			out = append(out, s.gateway(r, svc, v))
		} else if followed(svc) {
			out = append(out, s.endpointsOf(svc, v))
		}
	case events.EndpointSlices:
		for _, v := range s.slicesOf(svc) {
			out = append(out, v)
		}
	case events.Addresses:
		if v, ok := addressOf(svc); ok {
			out = append(out, v)
		}
	}
	return out
}

// chooses tells whether a service's endpoints are chosen for it.
func chooses(v *corev1.Service) bool {
	return len(v.Spec.Selector) > 0 && v.Spec.Type != corev1.ServiceTypeExternalName
}

// serviceOf is the service that an Endpoints or EndpointSlice of this name comes
// from, if it comes from one.
func (s State) serviceOf(k events.Key) (*Object, bool) {
	if k.Resource == events.Addresses {
		return s.serviceAt(k.Name)
	}
	if k.Resource == events.EndpointSlices {
		i := strings.LastIndexByte(k.Name, '-')
		if i < 0 {
			return nil, false
		}
		k.Name = k.Name[:i]
	}
	k.Resource = events.Services
	return s.Get(k)
}

// firstSlice finds a service's first slice by the service's name.
func (s State) firstSlice(k events.Key) (events.Object, bool) {
	if k.Resource != events.EndpointSlices {
		return nil, false
	}
	k.Resource = events.Services
	svc, ok := s.Get(k)
	if !ok {
		return nil, false
	}
	all := s.slicesOf(svc)
	if len(all) == 0 {
		return nil, false
	}
	return all[0], true
}

// behindServices are all objects of one of these kinds, written and following, in
// the order of namespace and name.
func (s State) behindServices(r events.Resource, namespace string, now time.Time) []events.Object {
	var out []events.Object
	taken := map[events.Key]bool{}
	for svc := range s.List(events.Services, namespace) {
		for _, v := range s.following(svc, r) {
			taken[events.Key{Resource: r, Namespace: v.GetNamespace(), Name: v.GetName()}] = true
			out = append(out, v)
		}
	}
	for o := range s.List(r, namespace) {
		if !taken[o.Key] {
			out = append(out, s.Peek(o, now))
		}
	}
	slices.SortFunc(out, func(a, b events.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return out
}

func (s State) behindServicesAfter(k events.Key, namespace string, now time.Time) iter.Seq[events.Object] {
	return func(yield func(events.Object) bool) {
		for _, v := range s.behindServices(k.Resource, namespace, now) {
			if cmp.Or(cmp.Compare(v.GetNamespace(), k.Namespace), cmp.Compare(v.GetName(), k.Name)) > 0 && !yield(v) {
				return
			}
		}
	}
}

// Shown are the objects of a resource that a row shows: itself, or what follows from
// a service.
func (s State) Shown(row events.Key, r events.Resource) []events.Key {
	if row.Resource == r {
		return []events.Key{row}
	}
	if !events.FollowsServices(r) || row.Resource != events.Services {
		return nil
	}
	svc, ok := s.Get(row)
	if !ok {
		return nil
	}
	if r == events.Addresses {
		if a, ok := addressOf(svc); ok {
			return []events.Key{{Resource: r, Name: a.Name}}
		}
		return nil
	}
	if row.Resource = r; r == events.Endpoints {
		if followed(svc) {
			return []events.Key{row}
		}
		return nil
	}
	var out []events.Key
	for _, v := range s.slicesOf(svc) {
		out = append(out, events.Key{Resource: r, Namespace: row.Namespace, Name: v.Name})
	}
	return out
}

// slicesOf are the slices that follow from a service: one for each set of target
// ports that its pods have, or those that tell of its Endpoints when it has no selector.
// Kubernetes would cut them after a hundred endpoints.
func (s State) slicesOf(svc *Object) []*discoveryv1.EndpointSlice {
	v := As[*corev1.Service](svc)
	switch {
	case svc.Key == GatewayKey:
		slice, _ := s.gateway(events.EndpointSlices, svc, v).(*discoveryv1.EndpointSlice)
		return []*discoveryv1.EndpointSlice{slice}
	case v.Spec.Type == corev1.ServiceTypeExternalName:
		return nil
	case len(v.Spec.Selector) == 0:
		return s.mirrored(svc)
	}
	sets := s.subsets(svc)
	if len(sets) == 0 {
		sets = []subset{{}}
	}
	var out []*discoveryv1.EndpointSlice
	for i, g := range sets {
		out = append(out, serviceSlice(svc, v, g, i))
	}
	return out
}

// serviceSlice is one slice of a service.
func serviceSlice(svc *Object, v *corev1.Service, g subset, i int) *discoveryv1.EndpointSlice {
	out := newSlice(svc, svc, "v1", "Service", i)
	for k, l := range v.Labels {
		out.Labels[k] = l
	}
	out.Labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
	for _, b := range g.backends {
		out.Endpoints = append(out.Endpoints, endpointOf(b, v.Name))
	}
	for _, t := range g.targets {
		out.Ports = append(out.Ports, discoveryv1.EndpointPort{Name: &t.name, Port: &t.port, Protocol: &t.protocol})
	}
	slices.SortStableFunc(out.Endpoints, func(a, b discoveryv1.Endpoint) int { return cmp.Compare(a.TargetRef.Name, b.TargetRef.Name) })
	return out
}

// newSlice is an empty slice for a service that a service or its Endpoints own. Its
// name is its owner's and five characters, as Kubernetes' generated ones have.
func newSlice(svc, owner *Object, version, name string, i int) *discoveryv1.EndpointSlice {
	kind, _ := events.KindOf(events.EndpointSlices)
	life := string(owner.UID) + " " + kind.Name
	if i > 0 {
		life += " " + strconv.Itoa(i)
	}
	out := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{}}
	out.SetGroupVersionKind(kind.GVK())
	yes := true
	out.ObjectMeta = metav1.ObjectMeta{Name: owner.Key.Name + "-" + events.ChildSuffix(owner.UID, uint64(i)+1), GenerateName: owner.Key.Name + "-", Namespace: svc.Key.Namespace,
		Labels: map[string]string{discoveryv1.LabelServiceName: svc.Key.Name}, ResourceVersion: svc.Position.String(),
		UID: types.UID(events.NewUID(events.OpID(life))), CreationTimestamp: stamp(owner.Created.Time),
		OwnerReferences: []metav1.OwnerReference{{APIVersion: version, Kind: name, Name: owner.Key.Name, UID: types.UID(owner.UID), Controller: &yes, BlockOwnerDeletion: &yes}}}
	return out
}
