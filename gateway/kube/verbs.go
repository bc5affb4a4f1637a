package kube

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	apimetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	kubeschema "github.com/stave-run/stave/gateway/kube/schema"
	"github.com/stave-run/stave/gateway/policy"
)

// patchTypes are the patches that are taken.
var patchTypes = []string{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"}

// maxBody is how many bytes a request's body may have, as in Kubernetes.
const maxBody = 3 << 20

// init bounds what the copies of a JSON patch add up to, as Kubernetes does: each may double what is there, and the library, which
// has the bound for all of the program, has none by itself.
func init() { jsonpatch.AccumulatedCopySizeLimit = maxBody }

// watchTime is how long a watch at least lasts that names no time of its own;
// at most twice as long.
const watchTime = 30 * time.Minute

// verbs has a handler for each verb of each resource.
type verbs struct {
	server *Server
	types  managedfields.TypeConverter
	all    map[verbKey]http.Handler
	known  map[verbKey]bool // the same without verbs
}

type verbKey struct {
	schema.GroupVersionResource
	sub, verb string
}

// find is the handler of a verb; known tells whether the resource has others.
func (v *verbs) find(r schema.GroupVersionResource, sub, verb string) (h http.Handler, known bool) {
	return v.all[verbKey{r, sub, verb}], v.known[verbKey{r, sub, ""}]
}

// newVerbs makes all handlers. It parses the merge schema, which takes some
// milliseconds.
func (s *Server) newVerbs() (*verbs, error) {
	apimetrics.Register() // what was counted before is lost
	types, err := kubeschema.Merge(s.scheme)
	if err != nil {
		return nil, err
	}
	v := &verbs{server: s, types: types, all: map[verbKey]http.Handler{}, known: map[verbKey]bool{}}
	for _, k := range events.Kinds {
		if err := v.addKind(k); err != nil {
			return nil, fmt.Errorf("serve %s: %w", k.Resource, err)
		}
	}
	for _, k := range events.OlderKinds {
		if err := v.addKind(k); err != nil {
			return nil, fmt.Errorf("serve %s in %s: %w", k.Resource, k.Version, err)
		}
	}
	for _, k := range events.NoteKinds {
		if err := v.addNotes(k); err != nil {
			return nil, fmt.Errorf("serve %s: %w", k.Resource, err)
		}
	}
	if err := v.addMeasures(); err != nil {
		return nil, err
	}
	v.addStreams()
	v.addProxies()
	return v, v.addQuestions()
}

func gvrOf(k events.Kind) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Plural()}
}

func (v *verbs) addKind(k events.Kind) error {
	kept := k
	if of, ok := events.KindOf(k.Resource); ok {
		kept = of
	}
	objects := &objects{Server: v.server, kind: kept}
	scope, err := v.scope(k, k.GVK(), "", objects, v.types)
	if err != nil {
		return err
	}
	objects.fields = scope.FieldManager
	var storage rest.StandardStorage = objects
	if k.Resource == events.APIServices {
		storage = &services{objects}
	}
	if v.serve(k, storage, scope, patchTypes); k.Derived {
		return nil
	}
	return v.addParts(k, objects)
}

// serve adds the verbs of a kind's objects.
func (v *verbs) serve(k events.Kind, of rest.StandardStorage, scope *handlers.RequestScope, patches []string) {
	v.set(k, "", "get", handlers.GetResource(of, scope))
	v.set(k, "", "list", untransformed(handlers.ListResource(of, of, scope, false, watchTime)))
	v.set(k, "", "watch", handlers.ListResource(of, of, scope, true, watchTime)) // also below /watch, where the query does not say it
	if k.Derived {
		return
	}
	v.creates(k, "", of, scope)
	v.updates(k, "", of, scope)
	v.patches(k, "", of, scope, patches)
	v.deletes(k, of, scope)
}

// addParts adds a kind's subresources.
func (v *verbs) addParts(k events.Kind, of *objects) error {
	if slices.Contains(v.server.partsOf(k), "status") {
		if err := v.addStatus(k, statusPart, of); err != nil {
			return err
		}
	}
	switch k.Resource {
	case events.Pods:
		return errors.Join(v.addEviction(k, of), v.addBinding(k, of), v.addPodPart(k, admit.PartEphemeral, of), v.addPodPart(k, admit.PartResize, of))
	case events.Namespaces:
		return v.addFinalize(k, of)
	case events.CertRequests:
		return v.addStatus(k, admit.PartApproval, of)
	}
	if k.Resource == events.Accounts {
		part := tokens{of}
		scope, err := v.scope(k, part.GroupVersionKind(schema.GroupVersion{}), "token", of, managedfields.NewDeducedTypeConverter())
		if err != nil {
			return err
		}
		v.createsNamed(k, "token", part, scope)
	}
	if !scalable[k.Resource] {
		return nil
	}
	scope, err := v.scope(k, autoscalingv1.SchemeGroupVersion.WithKind("Scale"), "scale", scale{of}, v.types)
	if err != nil {
		return err
	}
	part := scale{of}
	v.set(k, "scale", "get", handlers.GetResource(part, scope))
	v.updates(k, "scale", part, scope)
	v.patches(k, "scale", part, scope, patchTypes)
	return nil
}

func (v *verbs) set(k events.Kind, sub, verb string, h http.Handler) {
	v.all[verbKey{gvrOf(k), sub, verb}] = h
	v.known[verbKey{gvrOf(k), sub, ""}] = true
}

// scope tells the handlers all that they have to know of a resource. The served
// version mostly is the one that we think in, so that nothing is converted (hubOf).
func (v *verbs) scope(k events.Kind, kind schema.GroupVersionKind, sub string, table rest.TableConvertor, types managedfields.TypeConverter) (*handlers.RequestScope, error) {
	s := v.server.scheme
	managers, err := managedfields.NewDefaultFieldManager(types, s, s, s, kind, hubOf(k, kind), sub, ignored(k, sub))
	if err != nil {
		return nil, fmt.Errorf("make field manager: %w", err)
	}
	return &handlers.RequestScope{
		Namer:      handlers.ContextBasedNaming{Namer: meta.NewAccessor(), ClusterScoped: !k.Namespaced},
		Serializer: v.server.codecs, ParameterCodec: runtime.NewParameterCodec(s),
		Creater: s, Convertor: s, Defaulter: s, Typer: s, UnsafeConvertor: s,
		Authorizer:               policy.Rights(v.server.Views.Durable),
		EquivalentResourceMapper: runtime.NewEquivalentResourceRegistry(),
		TableConvertor:           table, FieldManager: managers,
		Resource: gvrOf(k), Kind: kind, Subresource: sub,
		MetaGroupVersion: metav1.SchemeGroupVersion, HubGroupVersion: hubOf(k, kind), MaxRequestBodyBytes: maxBody,
	}, nil
}
