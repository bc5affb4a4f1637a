package kube

import (
	"net"
	"net/http"
	"slices"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
)

// The verbs of a resource that people write, of a derived one, and of the parts.
var (
	everyVerb = metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	readVerbs = metav1.Verbs{"get", "list", "watch"}
	askVerbs  = metav1.Verbs{"create"}
	lookVerbs = metav1.Verbs{"get", "list"}
	partVerbs = map[string]metav1.Verbs{bindingPart: {"create"}, admit.PartEphemeral: {"get", "patch", "update"}, admit.PartResize: {"get", "patch", "update"},
		"status": {"get", "patch", "update"}, "scale": {"get", "patch", "update"}, "log": {"get"},
		"exec": {"create", "get"}, "attach": {"create", "get"}, "portforward": {"create", "get"},
		"eviction": {"create"}, "token": {"create"}, finalizing: {"update"}, proxying: {"create", "delete", "get", "patch", "update"}}
)

// partKinds are the kinds of the parts that are not of their resource's kind.
var partKinds = map[string]schema.GroupVersionKind{"scale": {Group: "autoscaling", Version: "v1", Kind: "Scale"},
	"exec": {Version: "v1", Kind: "PodExecOptions"}, "attach": {Version: "v1", Kind: "PodAttachOptions"}, "portforward": {Version: "v1", Kind: "PodPortForwardOptions"},
	"eviction":  {Group: "policy", Version: "v1", Kind: "Eviction"},
	bindingPart: {Version: "v1", Kind: "Binding"},
	"token":     {Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}}

// kindOfPart is the kind of a part that is not of its resource's kind.
func kindOfPart(k events.Kind, part string) (schema.GroupVersionKind, bool) {
	if part == proxying {
		return schema.GroupVersionKind{Version: "v1", Kind: k.Name + "ProxyOptions"}, true
	}
	kind, ok := partKinds[part]
	return kind, ok
}

// partsOf are a kind's subresources.
func (s *Server) partsOf(k events.Kind) []string {
	if k.Custom() && !isQuestion(k) {
		return s.customParts(k)
	}
	switch k.Resource {
	case events.Pods:
		return []string{"attach", bindingPart, admit.PartEphemeral, "eviction", "exec", "log", "portforward", proxying, admit.PartResize, "status"}
	case events.Services:
		return []string{proxying, "status"}
	case events.Accounts:
		return []string{"token"}
	case events.Deployments, events.ReplicaSets, events.StatefulSets, events.Controllers:
		return []string{"scale", "status"}
	case events.Namespaces:
		return []string{finalizing, "status"}
	case events.CertRequests:
		return []string{admit.PartApproval, "status"}
	case events.Nodes:
		return []string{proxying, "status"}
	case events.Budgets, events.Quotas, events.Definitions, events.Policies, events.Jobs, events.CronJobs,
		events.Volumes, events.Claims, events.Attachments, events.DaemonSets, events.Ingresses, events.ServiceRanges, events.FlowSchemas, events.PriorityLevels,
		events.Autoscalers, events.DeviceClaims, events.DeviceTaints, events.Migrations, events.PodCertRequests, events.APIServices:
		return []string{"status"}
	}
	return nil
}

// everyday are the kinds that `kubectl get all` means.
var everyday = []events.Resource{events.Pods, events.Services, events.Deployments, events.ReplicaSets, events.StatefulSets, events.DaemonSets, events.Controllers, events.CronJobs, events.Jobs}

func (s *Server) categoriesOf(k events.Kind) []string {
	if d := s.definitionOf(s.listed.view, k); d != nil {
		return d.Spec.Names.Categories
	}
	if k.Resource == events.Definitions || k.Resource == events.APIServices {
		return []string{"api-extensions"}
	}
	if slices.Contains(everyday, k.Resource) {
		return []string{"all"}
	}
	return nil
}

// versionsOf are the group versions of kinds, core first.
func versionsOf(kinds []events.Kind) []schema.GroupVersion {
	var out []schema.GroupVersion
	for _, k := range kinds {
		if gv := k.GVK().GroupVersion(); !slices.Contains(out, gv) {
			out = append(out, gv)
		}
	}
	return out
}

// loopback is where everybody finds this server.
type loopback struct{ address string }

// ServerAddressByClientCIDRs implements discovery.Addresses.
func (l loopback) ServerAddressByClientCIDRs(net.IP) []metav1.ServerAddressByClientCIDR {
	return []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: l.address}}
}

// addDiscovery serves what there is, in the old form, a document a group
// version, and in the new one, all at once. Whatever is an extension's is told beside
// our own; its document of the old form is its own answer.
func (s *Server) addDiscovery(mux *http.ServeMux, ranks []ranked) {
	core, named := aggregated.NewResourceManager("api"), aggregated.NewResourceManager("apis")
	where := loopback{s.address}
	groups := discovery.NewRootAPIsHandler(where, s.codecs)
	var all []metav1.APIGroup // with their versions, the preferred one first
	for _, rank := range ranks {
		gv, manager, path := rank.GroupVersion, named, "/apis/"+rank.String()
		if gv.Group == "" {
			manager, path = core, "/api/"+gv.Version
		}
		if rank.by != nil {
			manager.AddGroupVersion(gv.Group, s.offeredBy(rank.by))
		} else {
			manager.AddGroupVersion(gv.Group, s.newForm(gv))
			resources := s.oldForm(gv)
			mux.Handle(path, discovery.NewAPIVersionHandler(s.codecs, gv, discovery.APIResourceListerFunc(func() []metav1.APIResource { return resources })))
		}
		manager.SetGroupVersionPriority(metav1.GroupVersion(gv), int(rank.group), int(rank.version))
		if gv.Group == "" {
			continue
		}
		v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
		if last := len(all) - 1; last >= 0 && all[last].Name == gv.Group {
			all[last].Versions = append(all[last].Versions, v)
			continue
		}
		all = append(all, metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
	}
	for _, group := range all {
		groups.AddGroup(group)
		mux.Handle("/apis/"+group.Name, discovery.NewAPIGroupHandler(s.codecs, group))
	}
	mux.Handle("/api", aggregated.WrapAggregatedDiscoveryToHandler(discovery.NewLegacyRootAPIHandler(where, s.codecs, "/api"), core, nil))
	mux.Handle("/apis", aggregated.WrapAggregatedDiscoveryToHandler(groups, named, nil))
}

func verbsOf(k events.Kind) metav1.Verbs {
	switch {
	case isQuestion(k):
		return askVerbs
	case k.Group == metricsv1beta1.GroupName:
		return lookVerbs
	case k.Derived:
		return readVerbs
	}
	return everyVerb
}

func (s *Server) oldForm(gv schema.GroupVersion) []metav1.APIResource {
	var out []metav1.APIResource
	for _, k := range s.everyKind() {
		if k.GVK().GroupVersion() != gv {
			continue
		}
		out = append(out, metav1.APIResource{Name: k.Plural(), SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.Name,
			Verbs: verbsOf(k), ShortNames: k.Short, Categories: s.categoriesOf(k), StorageVersionHash: s.keptAs(k)})
		for _, part := range s.partsOf(k) {
			r := metav1.APIResource{Name: k.Plural() + "/" + part, Namespaced: k.Namespaced, Kind: k.Name, Verbs: partVerbs[part]}
			if other, ok := kindOfPart(k, part); ok {
				r.Group, r.Version, r.Kind = other.Group, other.Version, other.Kind
			}
			out = append(out, r)
		}
	}
	return out
}

// keptAs names the version that a kind is kept in, as clients compare it; empty for
// what is not kept.
func (s *Server) keptAs(k events.Kind) string {
	version := k.Version
	if d := s.definitionOf(s.listed.view, k); d != nil {
		version = d.Storage
	} else if k.Derived || !slices.Contains(verbsOf(k), "create") || isQuestion(k) {
		return ""
	}
	if kept, ok := events.KindOf(k.Resource); ok {
		version = kept.Version
	}
	return discovery.StorageVersionHash(k.Group, version, k.Name)
}

func (s *Server) newForm(gv schema.GroupVersion) apidiscoveryv2.APIVersionDiscovery {
	out := apidiscoveryv2.APIVersionDiscovery{Version: gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
	for _, k := range s.everyKind() {
		if k.GVK().GroupVersion() != gv {
			continue
		}
		scope := apidiscoveryv2.ScopeCluster
		if k.Namespaced {
			scope = apidiscoveryv2.ScopeNamespace
		}
		r := apidiscoveryv2.APIResourceDiscovery{Resource: k.Plural(), SingularResource: k.Singular, Scope: scope, Verbs: verbsOf(k),
			ShortNames: k.Short, Categories: s.categoriesOf(k), ResponseKind: kindFor(k.GVK())}
		for _, part := range s.partsOf(k) {
			kind := k.GVK()
			if other, ok := kindOfPart(k, part); ok {
				kind = other
			}
			r.Subresources = append(r.Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: part, Verbs: partVerbs[part], ResponseKind: kindFor(kind)})
		}
		out.Resources = append(out.Resources, r)
	}
	return out
}

func kindFor(g schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: g.Group, Version: g.Version, Kind: g.Kind}
}
