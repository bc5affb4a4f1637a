package kube

import (
	"net/http"

	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
)

// fresh makes a handler anew for each request, as Kubernetes' own installer does: a handler of a write puts one more layer around the
// admission that it holds each time it is asked. One that lived on would ask all of them, and be slower with each write.
func fresh(make func() http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { make()(w, r) }
}

// creates adds the verb to a kind, or to a part of it.
func (v *verbs) creates(k events.Kind, sub string, storage rest.Creater, scope *handlers.RequestScope) {
	v.set(k, sub, "create", fresh(func() http.HandlerFunc { return handlers.CreateResource(storage, scope, v.server.Admission) }))
}

// createsNamed is creates for what is made of an object that is there.
func (v *verbs) createsNamed(k events.Kind, sub string, storage rest.NamedCreater, scope *handlers.RequestScope) {
	v.set(k, sub, "create", fresh(func() http.HandlerFunc { return handlers.CreateNamedResource(storage, scope, v.server.Admission) }))
}

// updates adds the verb to a kind, or to a part of it.
func (v *verbs) updates(k events.Kind, sub string, storage rest.Updater, scope *handlers.RequestScope) {
	v.set(k, sub, "update", fresh(func() http.HandlerFunc { return handlers.UpdateResource(storage, scope, v.server.Admission) }))
}

// patches adds the verb to a kind, or to a part of it, for patches of some forms.
func (v *verbs) patches(k events.Kind, sub string, storage rest.Patcher, scope *handlers.RequestScope, forms []string) {
	v.set(k, sub, "patch", fresh(func() http.HandlerFunc { return handlers.PatchResource(storage, scope, v.server.Admission, forms) }))
}

// deleter removes one object, or all that a request selects.
type deleter interface {
	rest.GracefulDeleter
	rest.CollectionDeleter
}

// deletes adds both verbs to a kind.
func (v *verbs) deletes(k events.Kind, storage deleter, scope *handlers.RequestScope) {
	v.set(k, "", "delete", fresh(func() http.HandlerFunc { return handlers.DeleteResource(storage, true, scope, v.server.Admission) }))
	v.set(k, "", "deletecollection", fresh(func() http.HandlerFunc { return handlers.DeleteCollection(storage, true, scope, v.server.Admission) }))
}
