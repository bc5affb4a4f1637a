package kube

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// groups are the API groups whose types travel through the door.
var groups = []func(*runtime.Scheme) error{
	corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, discoveryv1.AddToScheme, autoscalingv1.AddToScheme, autoscalingv2.AddToScheme, policyv1.AddToScheme,
	authenticationv1.AddToScheme, authorizationv1.AddToScheme, rbacv1.AddToScheme, admissionv1.AddToScheme, coordinationv1.AddToScheme, eventsv1.AddToScheme,
	certificatesv1.AddToScheme, networkingv1.AddToScheme, flowcontrolv1.AddToScheme, nodev1.AddToScheme, metricsv1beta1.AddToScheme, apiregistrationv1.AddToScheme, apiextensionsv1.AddToScheme, schedulingv1.AddToScheme, storagev1.AddToScheme,
	resourcev1.AddToScheme, migrationv1.AddToScheme,
}

// newScheme knows the types, and which of their fields can be selected on.
func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range groups {
		utilruntime.Must(add(s)) // fails only for two types of one name
	}
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	utilruntime.Must(addOlder(s)) // fails only for what are no pointers
	for _, k := range served() {
		known := projections.SelectableFields(selectedAs(k))
		utilruntime.Must(s.AddFieldLabelConversionFunc(k.GVK(), func(label, value string) (string, string, error) {
			if !slices.Contains(known, label) {
				return "", "", fmt.Errorf("field label not supported: %s", label)
			}
			return label, value, nil
		}))
	}
	// In Kubernetes too stringData is gone before anybody becomes a field's manager.
	s.AddTypeDefaultingFunc(&corev1.Secret{}, func(o any) {
		if secret, ok := o.(*corev1.Secret); ok {
			manifest.MergeStringData(secret)
		}
	})
	// Whatever a client speaks, data is JSON from here on; fields of managers cannot be told of nothing.
	s.AddTypeDefaultingFunc(&appsv1.ControllerRevision{}, func(o any) {
		r, ok := o.(*appsv1.ControllerRevision)
		if !ok {
			return
		}
		if raw, err := r.Data.MarshalJSON(); err == nil {
			r.Data.Raw = raw
			return
		}
		r.Data.Raw = []byte("null") // no bytes at all, or none that can be read: admission asks for data
	})
	return s
}

// selectedAs is the resource whose fields a kind is selected by: what is measured
// goes by the fields of what it is of.
func selectedAs(k events.Kind) events.Resource {
	if k.Group == metricsv1beta1.GroupName {
		return events.Resource(k.Plural())
	}
	return k.Resource
}

// newCodecs encodes lists item by item, so that a long one needs no second copy.
func newCodecs(s *runtime.Scheme) serializer.CodecFactory {
	return serializer.NewCodecFactory(s, serializer.WithStreamingCollectionEncodingToJSON(), serializer.WithStreamingCollectionEncodingToProtobuf(),
		serializer.WithSerializer(cbor.NewSerializerInfo))
}

// fieldsOf is an object's selectable fields.
type fieldsOf struct{ events.Object }

// Has implements fields.Fields.
func (f fieldsOf) Has(name string) bool { return f.Get(name) != "" }

// Get implements fields.Fields.
func (f fieldsOf) Get(name string) string { return projections.FieldOf(f.Object, name) }

var _ fields.Fields = fieldsOf{}
