package manifest

import (
	"maps"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
)

// Default fills in what Kubernetes would: the object is changed in place.
// Cluster IPs and node ports are not defaults; admission gives them out.
func Default(o events.Object) {
	switch o := o.(type) {
	case *corev1.Namespace:
		defaultNamespace(o)
	case *corev1.Secret:
		setTo(&o.Type, corev1.SecretTypeOpaque)
	case *corev1.Pod:
		defaultPod(&o.Spec)
		pointTo(&o.Spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks) // Kubernetes leaves templates without
	case *corev1.PodTemplate:
		defaultPod(&o.Template.Spec)
	case *corev1.Service:
		defaultService(o)
	case *corev1.Endpoints: //nolint:staticcheck // people still write them
		defaultEndpoints(o)
	case *discoveryv1.EndpointSlice:
		for i := range o.Ports {
			pointTo(&o.Ports[i].Name, "")
			pointTo(&o.Ports[i].Protocol, corev1.ProtocolTCP)
		}
	case *rbacv1.ClusterRole:
		if o.AggregationRule != nil {
			o.Rules = nil // they are those of other roles, and nobody writes them
		}
	case *rbacv1.RoleBinding:
		defaultBinding(o.Subjects, &o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		defaultBinding(o.Subjects, &o.RoleRef)
	case *apiextensionsv1.CustomResourceDefinition:
		defaultDefinition(&o.Spec)
	case *schedulingv1.PriorityClass:
		pointTo(&o.PreemptionPolicy, corev1.PreemptLowerPriority)
	case *autoscalingv2.HorizontalPodAutoscaler:
		defaultAutoscaler(o)
	case *corev1.LimitRange:
		for i := range o.Spec.Limits {
			defaultLimits(&o.Spec.Limits[i])
		}
	default:
		defaultWorkload(o)
		defaultAdmission(o)
		defaultStorage(o)
		defaultNetwork(o)
		defaultDevices(o)
		defaultAPIService(o)
	}
}

// defaultAdmission fills in the kinds that have a say in what is admitted.
func defaultAdmission(o events.Object) {
	switch o := o.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		defaultMutating(o)
	case *admissionv1.ValidatingWebhookConfiguration:
		defaultValidating(o)
	case *admissionv1.ValidatingAdmissionPolicy:
		pointTo(&o.Spec.FailurePolicy, admissionv1.Fail)
		defaultMatch(o.Spec.MatchConstraints)
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		defaultMatch(o.Spec.MatchResources)
	case *admissionv1.MutatingAdmissionPolicy:
		pointTo(&o.Spec.FailurePolicy, admissionv1.Fail)
		defaultMatch(o.Spec.MatchConstraints)
	case *admissionv1.MutatingAdmissionPolicyBinding:
		defaultMatch(o.Spec.MatchResources)
	}
}

// defaultWorkload is Default of what makes pods.
func defaultWorkload(o events.Object) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		defaultDeployment(o)
	case *appsv1.ReplicaSet:
		defaultReplicaSet(o)
	case *appsv1.StatefulSet:
		defaultStatefulSet(o)
	case *appsv1.DaemonSet:
		defaultDaemonSet(o)
	case *corev1.ReplicationController:
		defaultController(o)
	case *batchv1.CronJob:
		defaultCronJob(o)
	case *batchv1.Job:
		defaultJob(o)
	}
}

// setTo gives an unset value its default.
func setTo[T comparable](v *T, to T) {
	var unset T
	if *v == unset {
		*v = to
	}
}

// pointTo gives an unset optional value its default.
func pointTo[T any](v **T, to T) {
	if *v == nil {
		*v = &to
	}
}

// nameLabel is how Kubernetes lets selectors find a namespace by name.
const nameLabel = "kubernetes.io/metadata.name"

func defaultNamespace(n *corev1.Namespace) {
	if n.Name != "" {
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		n.Labels[nameLabel] = n.Name
	}
	if len(n.Spec.Finalizers) == 0 {
		n.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
	}
}

func defaultDeployment(d *appsv1.Deployment) {
	s := &d.Spec
	pointTo(&s.Replicas, 1)
	pointTo(&s.RevisionHistoryLimit, 10)
	pointTo(&s.ProgressDeadlineSeconds, 600)
	setTo(&s.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		pointTo(&s.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		pointTo(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		pointTo(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	defaultPod(&s.Template.Spec)
}

// defaultLimits derives what an item for containers leaves open: the limit from the
// most, the request from the limit or the least.
func defaultLimits(item *corev1.LimitRangeItem) {
	if item.Type != corev1.LimitTypeContainer {
		return
	}
	inherit(&item.Default, item.Max)
	inherit(&item.DefaultRequest, item.Default)
	inherit(&item.DefaultRequest, item.Min)
}

// inherit takes over quantities that are not said.
func inherit(to *corev1.ResourceList, from corev1.ResourceList) {
	for _, name := range resourceNames(from) {
		if *to == nil {
			*to = corev1.ResourceList{}
		}
		if _, said := (*to)[name]; !said {
			(*to)[name] = from[name].DeepCopy()
		}
	}
}

func defaultReplicaSet(r *appsv1.ReplicaSet) {
	pointTo(&r.Spec.Replicas, 1)
	defaultPod(&r.Spec.Template.Spec)
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	s := &d.Spec
	pointTo(&s.RevisionHistoryLimit, 10)
	setTo(&s.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if s.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		pointTo(&s.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		pointTo(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		pointTo(&s.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	defaultPod(&s.Template.Spec)
}

// defaultController lets what a ReplicationController does not say follow from its template.
func defaultController(c *corev1.ReplicationController) {
	pointTo(&c.Spec.Replicas, 1)
	if c.Spec.Template == nil {
		return
	}
	if own := c.Spec.Template.Labels; len(own) > 0 {
		if len(c.Spec.Selector) == 0 {
			c.Spec.Selector = maps.Clone(own)
		}
		if len(c.Labels) == 0 {
			c.Labels = maps.Clone(own)
		}
	}
	defaultPod(&c.Spec.Template.Spec)
}

func defaultService(svc *corev1.Service) {
	s := &svc.Spec
	setTo(&s.SessionAffinity, corev1.ServiceAffinityNone)
	setTo(&s.Type, corev1.ServiceTypeClusterIP)
	if s.SessionAffinity == corev1.ServiceAffinityNone {
		s.SessionAffinityConfig = nil
	} else if s.SessionAffinityConfig == nil || s.SessionAffinityConfig.ClientIP == nil || s.SessionAffinityConfig.ClientIP.TimeoutSeconds == nil {
		seconds := int32(corev1.DefaultClientIPServiceAffinitySeconds)
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		setTo(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if s.Type == corev1.ServiceTypeExternalName {
		return
	}
	pointTo(&s.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	if ReachedFromOutside(s) {
		setTo(&s.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if s.Type == corev1.ServiceTypeLoadBalancer {
		pointTo(&s.AllocateLoadBalancerNodePorts, true)
	}
	if len(s.IPFamilies) == 0 {
		s.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	pointTo(&s.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
	if s.ClusterIP != "" && len(s.ClusterIPs) == 0 {
		s.ClusterIPs = []string{s.ClusterIP}
	}
	if s.ClusterIP == "" && len(s.ClusterIPs) > 0 {
		s.ClusterIP = s.ClusterIPs[0]
	}
}

func defaultDefinition(s *apiextensionsv1.CustomResourceDefinitionSpec) {
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(s)
	if c := s.Conversion; c != nil && c.Webhook != nil && c.Webhook.ClientConfig != nil && c.Webhook.ClientConfig.Service != nil {
		apiextensionsv1.SetDefaults_ServiceReference(c.Webhook.ClientConfig.Service)
	}
}
