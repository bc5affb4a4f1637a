package admit

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// The codes of HTTP that go with the reasons; net/http is not for pure code.
const (
	httpBadRequest            int32 = 400
	httpForbidden             int32 = 403
	httpNotFound              int32 = 404
	httpConflict              int32 = 409
	httpRequestEntityTooLarge int32 = 413
	httpUnprocessableEntity   int32 = 422
	httpTooManyRequests       int32 = 429
	httpInternalServerError   int32 = 500
)

// refusal is a request that was refused, in Kubernetes' reasons and words.
type refusal struct {
	reason  metav1.StatusReason
	code    int32
	key     events.Key
	message string
	causes  []metav1.StatusCause
	kind    events.Kind     // of key
	wrong   field.ErrorList // what makes it invalid
}

func (r *refusal) status() *metav1.Status {
	st := &metav1.Status{Status: metav1.StatusFailure, Reason: r.reason, Code: r.code, Message: r.message}
	if !r.key.IsZero() || len(r.causes) > 0 {
		st.Details = &metav1.StatusDetails{Name: r.key.Name, Group: r.kind.Group, Kind: r.kind.Plural(), Causes: r.causes}
	}
	if r.reason == metav1.StatusReasonInvalid {
		st.Details.Kind = r.kind.Name // Kubernetes names the kind here and the resource elsewhere
		name := r.kind.Name
		if r.kind.Group != "" {
			name += "." + r.kind.Group
		}
		st.Message = fmt.Sprintf("%s %q is invalid: %v", name, r.key.Name, r.wrong.ToAggregate())
	}
	return st
}

// resource is how messages name a resource: "deployments.apps".
func resource(k events.Key) string { return string(k.Resource) }

func refuse(reason metav1.StatusReason, code int32, k events.Key, format string, args ...any) *refusal {
	kind, _ := events.KindOf(k.Resource)
	return &refusal{reason: reason, code: code, key: k, kind: kind, message: fmt.Sprintf(format, args...)}
}

func notFound(k events.Key) *refusal {
	return refuse(metav1.StatusReasonNotFound, httpNotFound, k, "%s %q not found", resource(k), k.Name)
}

func exists(k events.Key, leaving bool) *refusal {
	r := refuse(metav1.StatusReasonAlreadyExists, httpConflict, k, "%s %q already exists", resource(k), k.Name)
	if leaving {
		r.message = "object is being deleted: " + r.message
	}
	return r
}

func conflict(k events.Key, why string) *refusal {
	return refuse(metav1.StatusReasonConflict, httpConflict, k, "Operation cannot be fulfilled on %s %q: %s", resource(k), k.Name, why)
}

// elsewhere refuses an object that belongs to another set of manifests.
func elsewhere(k events.Key, set string) *refusal {
	return conflict(k, fmt.Sprintf("it is a member of the set %q; apply it there, or without --set", set))
}

func forbidden(k events.Key, why string) *refusal {
	return refuse(metav1.StatusReasonForbidden, httpForbidden, k, "%s %q is forbidden: %s", resource(k), k.Name, why)
}

func badRequest(format string, args ...any) *refusal {
	return refuse(metav1.StatusReasonBadRequest, httpBadRequest, events.Key{}, format, args...)
}

func tooLarge(k events.Key, size int) *refusal {
	return refuse(metav1.StatusReasonRequestEntityTooLarge, httpRequestEntityTooLarge, k,
		"%s %q is too large: %d KiB, at most %d are stored", resource(k), k.Name, size>>10, MaxObject>>10)
}

// invalid has one cause a field, so that clients can point at each.
func invalid(k events.Key, errs field.ErrorList) *refusal {
	r := refuse(metav1.StatusReasonInvalid, httpUnprocessableEntity, k, "")
	r.wrong = errs
	for _, e := range errs {
		r.causes = append(r.causes, metav1.StatusCause{Type: metav1.CauseType(e.Type), Message: e.ErrorBody(), Field: e.Field})
	}
	return r
}
