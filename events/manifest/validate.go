package manifest

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
)

// Validate holds a defaulted object to Kubernetes' rules and says everything
// that breaks one, with field paths and in Kubernetes' words.
func Validate(o events.Object) field.ErrorList {
	errs := validateMeta(o, nameRule(o))
	switch o := o.(type) {
	case *corev1.ConfigMap:
		errs = append(errs, validateConfigMap(o)...)
	case *corev1.Secret:
		errs = append(errs, validateSecret(o)...)
	case *rbacv1.Role:
		errs = append(errs, validateRules(o.Rules, true)...)
	case *rbacv1.ClusterRole:
		errs = append(errs, validateClusterRole(o)...)
	case *rbacv1.RoleBinding:
		errs = append(errs, validateBinding(o.Subjects, o.RoleRef, "Role", "ClusterRole")...)
	case *rbacv1.ClusterRoleBinding:
		errs = append(errs, validateBinding(o.Subjects, o.RoleRef, "ClusterRole")...)
	case *admissionv1.MutatingWebhookConfiguration, *admissionv1.ValidatingWebhookConfiguration, *admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding,
		*admissionv1.MutatingAdmissionPolicy, *admissionv1.MutatingAdmissionPolicyBinding:
		errs = append(errs, validateAdmission(o)...)
	case *corev1.Pod:
		errs = slices.Concat(errs, validatePod(&o.Spec, field.NewPath("spec")), validateGatedPod(&o.Spec, field.NewPath("spec")))
	case *corev1.PodTemplate:
		errs = append(errs, validateTemplateOf(&o.Template, field.NewPath("template"))...)
	case *corev1.Service:
		errs = append(errs, validateService(o)...)
	case *corev1.Endpoints: //nolint:staticcheck // people still write them
		errs = append(errs, validateEndpoints(o.Subsets, field.NewPath("subsets"))...)
	case *discoveryv1.EndpointSlice:
		errs = append(errs, validateSlice(o)...)
	case *appsv1.Deployment, *appsv1.ReplicaSet, *appsv1.StatefulSet, *appsv1.DaemonSet, *corev1.ReplicationController, *appsv1.ControllerRevision:
		errs = append(errs, validateWorkload(o)...)
	case *autoscalingv2.HorizontalPodAutoscaler:
		errs = append(errs, validateAutoscaler(o)...)
	case *batchv1.CronJob:
		errs = append(errs, validateCronJob(o)...)
	case *batchv1.Job:
		errs = append(errs, validateJob(o)...)
	case *policyv1.PodDisruptionBudget:
		errs = append(errs, validateBudget(&o.Spec, field.NewPath("spec"))...)
	case *corev1.ResourceQuota:
		errs = append(errs, validateQuota(&o.Spec)...)
	case *certificatesv1.CertificateSigningRequest:
		errs = append(errs, validateCertRequest(o)...)
	case *certificatesv1.PodCertificateRequest:
		errs = append(errs, validatePodCertRequest(&o.Spec, field.NewPath("spec"))...)
	case *certificatesv1.ClusterTrustBundle:
		errs = append(errs, validateTrustBundle(o)...)
	case *nodev1.RuntimeClass:
		errs = append(errs, validateRuntimeClass(o)...)
	case *schedulingv1.PriorityClass:
		errs = append(errs, validatePriorityClass(o)...)
	case *corev1.LimitRange:
		errs = append(errs, validateLimitRange(o)...)
	case *corev1.Node, *corev1.Namespace:
		errs = append(errs, validateGround(o)...)
	default:
		errs = slices.Concat(errs, validateStorage(o), validateNetwork(o), validateDevices(o), validateMigration(o), validateAPIService(o))
	}
	return errs
}

// validateNetwork holds the kinds to their rules that say how requests come in, from outside and to us, and which traffic may pass.
func validateNetwork(o events.Object) field.ErrorList {
	switch o := o.(type) {
	case *networkingv1.Ingress:
		return validateIngress(o)
	case *networkingv1.IngressClass:
		return validateIngressClass(o)
	case *networkingv1.NetworkPolicy:
		return validateNetworkPolicy(&o.Spec, field.NewPath("spec"))
	case *networkingv1.ServiceCIDR:
		return validateRanges(o)
	case *networkingv1.IPAddress:
		return validateAddress(o)
	case *flowcontrolv1.FlowSchema:
		return validateFlowSchema(o)
	case *flowcontrolv1.PriorityLevelConfiguration:
		return validatePriorityLevel(o)
	}
	return nil
}

// validateAdmission is Validate for what says which writes are let in.
func validateAdmission(o events.Object) field.ErrorList {
	switch o := o.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		return validateMutating(o)
	case *admissionv1.ValidatingWebhookConfiguration:
		return validateValidating(o)
	case *admissionv1.ValidatingAdmissionPolicy:
		return validatePolicy(&o.Spec, field.NewPath("spec"))
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		return validatePolicyBinding(&o.Spec, field.NewPath("spec"))
	case *admissionv1.MutatingAdmissionPolicy:
		return validateMutatingPolicy(&o.Spec, field.NewPath("spec"))
	case *admissionv1.MutatingAdmissionPolicyBinding:
		return validateMutatingBinding(&o.Spec, field.NewPath("spec"))
	}
	return nil
}

// rule is how a name has to look; it says what is wrong with one.
type rule func(string) []string

func nameRule(o events.Object) rule {
	switch o := o.(type) {
	case *corev1.Namespace, *corev1.Service: // of services since Kubernetes 1.36, where they began with a letter
		return validation.IsDNS1123Label
	case *appsv1.StatefulSet:
		return statefulSetName
	case *rbacv1.Role, *rbacv1.RoleBinding, *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding, *certificatesv1.CertificateSigningRequest:
		return pathSegment // "system:basic-user"
	case *networkingv1.IPAddress:
		return addressName
	case *certificatesv1.ClusterTrustBundle:
		return trustName(o.Spec.SignerName)
	case *apiregistrationv1.APIService:
		return apiServiceName(&o.Spec)
	}
	return validation.IsDNS1123Subdomain
}

// maxAnnotations bounds the annotations of an object, in bytes, as Kubernetes does.
const maxAnnotations = 256 << 10

func validateMeta(o events.Object, name rule) field.ErrorList {
	at := field.NewPath("metadata")
	var errs field.ErrorList
	switch {
	case o.GetName() != "":
		errs = invalid(errs, at.Child("name"), o.GetName(), name(o.GetName()))
	case o.GetGenerateName() != "":
		// What is generated is appended, so a dash may end the prefix.
		errs = invalid(errs, at.Child("generateName"), o.GetGenerateName(), name(strings.TrimRight(o.GetGenerateName(), "-")+"x"))
	default:
		errs = append(errs, field.Required(at.Child("name"), "name or generateName is required"))
	}
	if ns := o.GetNamespace(); ns != "" {
		errs = invalid(errs, at.Child("namespace"), ns, validation.IsDNS1123Label(ns))
	}
	errs = append(errs, validateLabels(o.GetLabels(), at.Child("labels"))...)
	errs = append(errs, validateAnnotations(o.GetAnnotations(), at.Child("annotations"))...)
	errs = append(errs, validateOwners(o.GetOwnerReferences(), at.Child("ownerReferences"))...)
	if namesDomains(o) {
		errs = append(errs, domainsOf(o.GetFinalizers(), at.Child("finalizers"))...)
	}
	return append(errs, validateFinalizers(o.GetFinalizers(), at.Child("finalizers"))...)
}

// invalid adds one error a message.
func invalid(errs field.ErrorList, at *field.Path, value any, messages []string) field.ErrorList {
	for _, m := range messages {
		errs = append(errs, field.Invalid(at, value, m))
	}
	return errs
}

// keysOf are a map's keys in order.
func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func validateLabels(labels map[string]string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, k := range keysOf(labels) {
		errs = invalid(errs, at, k, validation.IsQualifiedName(k))
		errs = invalid(errs, at.Key(k), labels[k], validation.IsValidLabelValue(labels[k]))
	}
	return errs
}

func validateAnnotations(annotations map[string]string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	total := 0
	for _, k := range keysOf(annotations) {
		errs = invalid(errs, at, k, validation.IsQualifiedName(strings.ToLower(k)))
		total += len(k) + len(annotations[k])
	}
	if total > maxAnnotations {
		errs = append(errs, field.TooLong(at, "", maxAnnotations))
	}
	return errs
}

// maxConfigMap bounds the data of a ConfigMap, in bytes, as Kubernetes does.
const maxConfigMap = 1 << 20

func validateConfigMap(c *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	total := 0
	data, binary := field.NewPath("data"), field.NewPath("binaryData")
	for _, k := range keysOf(c.Data) {
		errs = invalid(errs, data.Key(k), k, validation.IsConfigMapKey(k))
		if _, both := c.BinaryData[k]; both {
			errs = append(errs, field.Invalid(data.Key(k), k, "duplicate of key present in binaryData"))
		}
		total += len(c.Data[k])
	}
	for _, k := range keysOf(c.BinaryData) {
		errs = invalid(errs, binary.Key(k), k, validation.IsConfigMapKey(k))
		total += len(c.BinaryData[k])
	}
	if total > maxConfigMap {
		errs = append(errs, field.TooLong(field.NewPath(""), "", maxConfigMap))
	}
	return errs
}

func validateTaints(taints []corev1.Taint, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, t := range taints {
		here := at.Index(i)
		errs = invalid(errs, here.Child("key"), t.Key, validation.IsQualifiedName(t.Key))
		errs = invalid(errs, here.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))
		errs = oneOf(errs, here.Child("effect"), t.Effect, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
		id := t.Key + "\x00" + string(t.Effect)
		if seen[id] {
			errs = append(errs, field.Duplicate(here, t.Key+":"+string(t.Effect)))
		}
		seen[id] = true
	}
	return errs
}

// oneOf wants a value out of a few.
func oneOf[T ~string](errs field.ErrorList, at *field.Path, value T, allowed ...T) field.ErrorList {
	switch {
	case slices.Contains(allowed, value):
		return errs
	case value == "":
		return append(errs, field.Required(at, "valid values: "+quoted(allowed)))
	}
	return append(errs, field.NotSupported(at, value, allowed))
}

func quoted[T ~string](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = `"` + string(v) + `"`
	}
	return strings.Join(words, ", ")
}

// notNegative wants a number from 0.
func notNegative(errs field.ErrorList, at *field.Path, value int64) field.ErrorList {
	if value < 0 {
		return append(errs, field.Invalid(at, value, "must be greater than or equal to 0"))
	}
	return errs
}

// validateSelector wants a selector that means something: not empty, and readable.
func validateSelector(s *metav1.LabelSelector, at *field.Path) field.ErrorList {
	if s == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return field.ErrorList{field.Invalid(at, s, "empty selector is invalid for workloads")}
	}
	return validatePicks(s, at)
}

// validatePicks wants a selector that is readable; none, and an empty one, are.
func validatePicks(s *metav1.LabelSelector, at *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateLabels(s.MatchLabels, at.Child("matchLabels"))
	for i, e := range s.MatchExpressions {
		here := at.Child("matchExpressions").Index(i)
		errs = invalid(errs, here.Child("key"), e.Key, validation.IsQualifiedName(e.Key))
		switch e.Operator {
		case metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn:
			if len(e.Values) == 0 {
				errs = append(errs, field.Required(here.Child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
			}
		case metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist:
			if len(e.Values) > 0 {
				errs = append(errs, field.Forbidden(here.Child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
			}
		default:
			errs = append(errs, field.Invalid(here.Child("operator"), e.Operator, "not a valid selector operator"))
		}
		for j, v := range e.Values {
			errs = invalid(errs, here.Child("values").Index(j), v, validation.IsValidLabelValue(v))
		}
	}
	return errs
}
