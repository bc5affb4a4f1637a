package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/reach"
	"github.com/stave-run/stave/projections"
)

const (
	// convertTime is how long a conversion webhook may take; definitions say nothing of it.
	convertTime = 30 * time.Second
	// convertedTogether bounds how many objects one question is about.
	convertedTogether = 1000
)

// Conversions asks the webhooks of definitions to bring objects from one version to
// another. It may be used by many at once.
type Conversions struct{ clients webhookutil.ClientManager }

var _ custom.Converter = &Conversions{}

// NewConversions makes them; view and dial are as in Options. Its error is a broken build's.
func NewConversions(view func() projections.State, dial func(context.Context, events.Key, uint16) (net.Conn, error)) (*Conversions, error) {
	c := &Conversions{}
	var err error
	c.clients, err = webhookutil.NewClientManager([]schema.GroupVersion{apiextensionsv1.SchemeGroupVersion}, apiextensionsv1.AddToScheme)
	if err != nil {
		return nil, fmt.Errorf("make clients of conversion webhooks: %w", err)
	}
	at := places{reach.Ways{View: view, Dial: dial}}
	c.clients.SetAuthenticationInfoResolver(at)
	c.clients.SetServiceResolver(at)
	return c, nil
}

// Convert implements custom.Converter. Its errors are in Kubernetes' words.
func (c *Conversions) Convert(ctx context.Context, d *custom.Definition, objects []*unstructured.Unstructured, version string) ([]*unstructured.Unstructured, error) {
	to := schema.GroupVersion{Group: d.Spec.Group, Version: version}
	var out []*unstructured.Unstructured
	for some := range slices.Chunk(objects, convertedTogether) {
		said, err := c.ask(ctx, d, some, to)
		if err == nil && len(said) != len(some) {
			return nil, unconverted(some[0], "returned %d objects, expected %d", len(said), len(some))
		}
		if err != nil {
			return nil, unconverted(some[0], "failed: %v", err)
		}
		for i, raw := range said {
			u, err := fitting(some[i], raw.Raw, to)
			if err != nil {
				return nil, unconverted(some[i], "returned invalid converted object at index %d: %v", i, err)
			}
			out = append(out, u)
		}
	}
	return out, nil
}

// unconverted is why an object is not to be had in another version: Kubernetes gives no
// reason beside the words.
func unconverted(o *unstructured.Unstructured, why string, about ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Message: fmt.Sprintf("conversion webhook for %v ", o.GroupVersionKind()) + fmt.Sprintf(why, about...)}}
}

// ask sends one question.
func (c *Conversions) ask(ctx context.Context, d *custom.Definition, objects []*unstructured.Unstructured, to schema.GroupVersion) ([]runtime.RawExtension, error) {
	hook := d.Spec.Conversion.Webhook
	i := slices.IndexFunc(hook.ConversionReviewVersions, func(v string) bool { return v == "v1" || v == "v1beta1" }) // they look the same
	if i < 0 {
		return nil, errors.New("no supported conversion review versions")
	}
	client, err := c.clients.HookClient(converterOf(d))
	if err != nil {
		return nil, err
	}
	q := apiextensionsv1.ConversionReview{TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/" + hook.ConversionReviewVersions[i], Kind: "ConversionReview"},
		Request: &apiextensionsv1.ConversionRequest{UID: uuid.NewUUID(), DesiredAPIVersion: to.String()}}
	for _, o := range objects {
		q.Request.Objects = append(q.Request.Objects, runtime.RawExtension{Object: o})
	}
	raw, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, convertTime)
	defer cancel()
	if raw, err = client.Post().Timeout(convertTime).SetHeader("Content-Type", "application/json").Body(raw).Do(ctx).Raw(); err != nil {
		return nil, err
	}
	return answerIn(raw, q.TypeMeta, q.Request.UID)
}

// converterOf is where a definition's webhook is.
func converterOf(d *custom.Definition) webhookutil.ClientConfig {
	at := d.Spec.Conversion.Webhook.ClientConfig
	out := webhookutil.ClientConfig{Name: fmt.Sprintf("conversion_webhook_for_%s.%s", d.Spec.Names.Plural, d.Spec.Group), CABundle: at.CABundle}
	if len(bytes.TrimSpace(at.CABundle)) == 0 {
		out.CABundle = nil
	}
	if at.URL != nil {
		out.URL = *at.URL
	}
	if s := at.Service; s != nil {
		out.Service = &webhookutil.ClientConfigService{Name: s.Name, Namespace: s.Namespace, Port: 443}
		if s.Port != nil {
			out.Service.Port = *s.Port
		}
		if s.Path != nil {
			out.Service.Path = *s.Path
		}
	}
	return out
}

// answerIn is what a webhook answered, if it answers the question.
func answerIn(raw []byte, like metav1.TypeMeta, id types.UID) ([]runtime.RawExtension, error) {
	var a apiextensionsv1.ConversionReview
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if a.TypeMeta != like {
		return nil, fmt.Errorf("expected webhook response of %v, got %v", like.GroupVersionKind(), a.GroupVersionKind())
	}
	r := a.Response
	switch {
	case r == nil:
		return nil, errors.New("no response provided")
	case r.UID != id:
		return nil, fmt.Errorf("expected response.uid=%q, got %q", id, r.UID)
	case r.Result.Status != metav1.StatusSuccess && r.Result.Message != "":
		return nil, errors.New(r.Result.Message)
	case r.Result.Status != metav1.StatusSuccess:
		return nil, fmt.Errorf("response.result.status was '%s', not 'Success'", r.Result.Status)
	}
	return r.ConvertedObjects, nil
}
