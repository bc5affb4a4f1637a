package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/pkg/warning"
)

// defaultTime is how long a webhook may take that says nothing of it.
const defaultTime = 10 * time.Second

// call asks one webhook. Its error is an *apierrors.StatusError when the webhook
// refuses, and a *webhookutil.ErrCallingWebhook when there is no usable answer.
// The patch is a mutating webhook's.
func (c *Chain) call(ctx context.Context, h hook, q showing, mutating bool) (patch []byte, err error) {
	if q.IsDryRun() && h.SideEffects != nil && *h.SideEffects != registrationv1.SideEffectClassNone && *h.SideEffects != registrationv1.SideEffectClassNoneOnDryRun {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("admission webhook %q does not support dry run", h.Name))
	}
	failed := func(what string, err error) error {
		return &webhookutil.ErrCallingWebhook{WebhookName: h.Name, Reason: fmt.Errorf("%s: %w", what, err), Status: apierrors.NewServiceUnavailable(what)}
	}
	client, err := c.clients.HookClient(clientOf(h))
	if err != nil {
		return nil, failed("could not get REST client", err)
	}
	limit := defaultTime
	if h.TimeoutSeconds != nil {
		limit = time.Duration(*h.TimeoutSeconds) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	id := uuid.NewUUID()
	var answer admissionv1.AdmissionReview
	if err := client.Post().Timeout(limit).Body(review(id, q)).Do(ctx).Into(&answer); err != nil {
		return nil, failed("failed to call webhook", err)
	}
	if err := sound(&answer, id, mutating); err != nil {
		return nil, failed("received invalid webhook response", err)
	}
	for _, w := range answer.Response.Warnings {
		warning.AddWarning(ctx, "", w)
	}
	if !answer.Response.Allowed {
		return nil, refusal(h.Name, answer.Response.Result)
	}
	return answer.Response.Patch, nil
}

func clientOf(h hook) webhookutil.ClientConfig {
	out := webhookutil.ClientConfig{Name: h.Name, CABundle: h.ClientConfig.CABundle}
	if h.ClientConfig.URL != nil {
		out.URL = *h.ClientConfig.URL
	}
	if s := h.ClientConfig.Service; s != nil {
		out.Service = &webhookutil.ClientConfigService{Name: s.Name, Namespace: s.Namespace}
		if s.Path != nil {
			out.Service.Path = *s.Path
		}
		if s.Port != nil {
			out.Service.Port = *s.Port
		}
	}
	return out
}

// review is the question.
func review(id types.UID, q showing) *admissionv1.AdmissionReview {
	r := cel.CreateAdmissionRequest(q.Attributes, metav1.GroupVersionResource(q.in), metav1.GroupVersionKind(q.VersionedKind))
	r.UID = id
	r.Object = runtime.RawExtension{Object: q.VersionedObject.Object()}
	r.OldObject = runtime.RawExtension{Object: q.VersionedOldObject.Object()}
	return &admissionv1.AdmissionReview{Request: r}
}

// sound holds an answer to the protocol.
func sound(r *admissionv1.AdmissionReview, id types.UID, mutating bool) error {
	if r.Response == nil {
		return errors.New("webhook response was absent")
	}
	if r.Response.UID != id {
		return fmt.Errorf("expected response.uid=%q, got %q", id, r.Response.UID)
	}
	hasPatch, hasType := len(r.Response.Patch) > 0, r.Response.PatchType != nil
	switch {
	case !mutating && hasPatch:
		return errors.New("validating webhook may not return response.patch")
	case !mutating && hasType:
		return errors.New("validating webhook may not return response.patchType")
	case hasPatch && !hasType:
		return errors.New("webhook returned response.patch but not response.patchType")
	case !hasPatch && hasType:
		return errors.New("webhook returned response.patchType but not response.patch")
	case hasType && *r.Response.PatchType != admissionv1.PatchTypeJSONPatch:
		return fmt.Errorf("unsupported patch type %q", *r.Response.PatchType)
	}
	return nil
}

// refusal is a webhook's no, in Kubernetes' words.
func refusal(name string, said *metav1.Status) error {
	result := metav1.Status{}
	if said != nil {
		result = *said
	}
	result.Status = metav1.StatusFailure
	result.Code = max(result.Code, http.StatusBadRequest)
	by := fmt.Sprintf("admission webhook %q denied the request", name)
	switch {
	case result.Message != "":
		result.Message = by + ": " + result.Message
	case result.Reason != "":
		result.Message = by + ": " + string(result.Reason)
	default:
		result.Message = by + " without explanation"
	}
	return &apierrors.StatusError{ErrStatus: result}
}

// patched is another object of the same type, as a JSON patch makes it.
func patched(o runtime.Object, patch []byte) (runtime.Object, error) {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("read patch: %w", err)
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode object: %w", err)
	}
	if raw, err = p.Apply(raw); err != nil {
		return nil, fmt.Errorf("apply patch: %w", err)
	}
	next, ok := reflect.New(reflect.TypeOf(o).Elem()).Interface().(runtime.Object)
	if !ok {
		return nil, fmt.Errorf("not an object: %T", o)
	}
	if err := json.Unmarshal(raw, next); err != nil {
		return nil, fmt.Errorf("read patched object: %w", err)
	}
	return next, nil
}
