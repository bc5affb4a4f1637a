package events

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Object is a typed Kubernetes object.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind says what a resource is called and how its objects look.
// Adding one is a row here; docs/adding-a-kind.md tells the rest.
type Kind struct {
	Resource   Resource
	Group      string // API group, "" for core
	Version    string
	Name       string // "Deployment"
	Singular   string // "deployment"
	Short      []string
	Namespaced bool
	Derived    bool // a fold of other objects: nobody writes it, it is never an event
	New        func() Object
}

// Kinds are all kinds in the order in which `get all` and discovery list them.
var Kinds = []Kind{
	{Namespaces, "", "v1", "Namespace", "namespace", []string{"ns"}, false, false, func() Object { return &corev1.Namespace{} }},
	{Nodes, "", "v1", "Node", "node", []string{"no"}, false, false, func() Object { return &corev1.Node{} }},
	{ConfigMaps, "", "v1", "ConfigMap", "configmap", []string{"cm"}, true, false, func() Object { return &corev1.ConfigMap{} }},
	{Secrets, "", "v1", "Secret", "secret", nil, true, false, func() Object { return &corev1.Secret{} }},
	{Accounts, "", "v1", "ServiceAccount", "serviceaccount", []string{"sa"}, true, false, func() Object { return &corev1.ServiceAccount{} }},
	{Pods, "", "v1", "Pod", "pod", []string{"po"}, true, false, func() Object { return &corev1.Pod{} }},
	{Services, "", "v1", "Service", "service", []string{"svc"}, true, false, func() Object { return &corev1.Service{} }},
	{Deployments, "apps", "v1", "Deployment", "deployment", []string{"deploy"}, true, false, func() Object { return &appsv1.Deployment{} }},
	{ReplicaSets, "apps", "v1", "ReplicaSet", "replicaset", []string{"rs"}, true, false, func() Object { return &appsv1.ReplicaSet{} }},
	{StatefulSets, "apps", "v1", "StatefulSet", "statefulset", []string{"sts"}, true, false, func() Object { return &appsv1.StatefulSet{} }},
	{Revisions, "apps", "v1", "ControllerRevision", "controllerrevision", nil, true, false, func() Object { return &appsv1.ControllerRevision{} }},
	{DaemonSets, "apps", "v1", "DaemonSet", "daemonset", []string{"ds"}, true, false, func() Object { return &appsv1.DaemonSet{} }},
	{Controllers, "", "v1", "ReplicationController", "replicationcontroller", []string{"rc"}, true, false, func() Object { return &corev1.ReplicationController{} }},
	{Autoscalers, autoscalingv2.GroupName, "v2", "HorizontalPodAutoscaler", "horizontalpodautoscaler", []string{"hpa"}, true, false, func() Object { return &autoscalingv2.HorizontalPodAutoscaler{} }},
	{Quotas, "", "v1", "ResourceQuota", "resourcequota", []string{"quota"}, true, false, func() Object { return &corev1.ResourceQuota{} }},
	{LimitRanges, "", "v1", "LimitRange", "limitrange", []string{"limits"}, true, false, func() Object { return &corev1.LimitRange{} }},
	{CronJobs, batchv1.GroupName, "v1", "CronJob", "cronjob", []string{"cj"}, true, false, func() Object { return &batchv1.CronJob{} }},
	{Jobs, batchv1.GroupName, "v1", "Job", "job", nil, true, false, func() Object { return &batchv1.Job{} }},
	{PriorityClasses, schedulingv1.GroupName, "v1", "PriorityClass", "priorityclass", []string{"pc"}, false, false, func() Object { return &schedulingv1.PriorityClass{} }},
	{RuntimeClasses, nodev1.GroupName, "v1", "RuntimeClass", "runtimeclass", nil, false, false, func() Object { return &nodev1.RuntimeClass{} }},
	{CertRequests, certificatesv1.GroupName, "v1", "CertificateSigningRequest", "certificatesigningrequest", []string{"csr"}, false, false, func() Object { return &certificatesv1.CertificateSigningRequest{} }},
	{TrustBundles, certificatesv1.GroupName, "v1", "ClusterTrustBundle", "clustertrustbundle", nil, false, false, func() Object { return &certificatesv1.ClusterTrustBundle{} }},
	{PodCertRequests, certificatesv1.GroupName, "v1", "PodCertificateRequest", "podcertificaterequest", nil, true, false, func() Object { return &certificatesv1.PodCertificateRequest{} }},
	{Ingresses, networkingv1.GroupName, "v1", "Ingress", "ingress", []string{"ing"}, true, false, func() Object { return &networkingv1.Ingress{} }},
	{IngressClasses, networkingv1.GroupName, "v1", "IngressClass", "ingressclass", nil, false, false, func() Object { return &networkingv1.IngressClass{} }},
	{NetworkPolicies, networkingv1.GroupName, "v1", "NetworkPolicy", "networkpolicy", []string{"netpol"}, true, false, func() Object { return &networkingv1.NetworkPolicy{} }},
	{ServiceRanges, networkingv1.GroupName, "v1", "ServiceCIDR", "servicecidr", nil, false, false, func() Object { return &networkingv1.ServiceCIDR{} }},
	{Addresses, networkingv1.GroupName, "v1", "IPAddress", "ipaddress", []string{"ip"}, false, false, func() Object { return &networkingv1.IPAddress{} }},
	{FlowSchemas, flowcontrolv1.GroupName, "v1", "FlowSchema", "flowschema", nil, false, false, func() Object { return &flowcontrolv1.FlowSchema{} }},
	{PriorityLevels, flowcontrolv1.GroupName, "v1", "PriorityLevelConfiguration", "prioritylevelconfiguration", nil, false, false, func() Object { return &flowcontrolv1.PriorityLevelConfiguration{} }},
	{DeviceClasses, resourcev1.GroupName, "v1", "DeviceClass", "deviceclass", nil, false, false, func() Object { return &resourcev1.DeviceClass{} }},
	{DeviceTaints, resourcev1.GroupName, "v1", "DeviceTaintRule", "devicetaintrule", nil, false, false, func() Object { return &resourcev1.DeviceTaintRule{} }},
	{DeviceClaims, resourcev1.GroupName, "v1", "ResourceClaim", "resourceclaim", nil, true, false, func() Object { return &resourcev1.ResourceClaim{} }},
	{DeviceTemplates, resourcev1.GroupName, "v1", "ResourceClaimTemplate", "resourceclaimtemplate", nil, true, false, func() Object { return &resourcev1.ResourceClaimTemplate{} }},
	{DeviceSlices, resourcev1.GroupName, "v1", "ResourceSlice", "resourceslice", nil, false, false, func() Object { return &resourcev1.ResourceSlice{} }},
	{Migrations, migrationv1.GroupName, "v1", "StorageVersionMigration", "storageversionmigration", nil, false, false, func() Object { return &migrationv1.StorageVersionMigration{} }},
	{PodTemplates, "", "v1", "PodTemplate", "podtemplate", nil, true, false, func() Object { return &corev1.PodTemplate{} }},
	{Volumes, "", "v1", "PersistentVolume", "persistentvolume", []string{"pv"}, false, false, func() Object { return &corev1.PersistentVolume{} }},
	{Claims, "", "v1", "PersistentVolumeClaim", "persistentvolumeclaim", []string{"pvc"}, true, false, func() Object { return &corev1.PersistentVolumeClaim{} }},
	{StorageClasses, storagev1.GroupName, "v1", "StorageClass", "storageclass", []string{"sc"}, false, false, func() Object { return &storagev1.StorageClass{} }},
	{AttributesClasses, storagev1.GroupName, "v1", "VolumeAttributesClass", "volumeattributesclass", []string{"vac"}, false, false, func() Object { return &storagev1.VolumeAttributesClass{} }},
	{Attachments, storagev1.GroupName, "v1", "VolumeAttachment", "volumeattachment", nil, false, false, func() Object { return &storagev1.VolumeAttachment{} }},
	{CSIDrivers, storagev1.GroupName, "v1", "CSIDriver", "csidriver", nil, false, false, func() Object { return &storagev1.CSIDriver{} }},
	{CSINodes, storagev1.GroupName, "v1", "CSINode", "csinode", nil, false, false, func() Object { return &storagev1.CSINode{} }},
	{CSICapacities, storagev1.GroupName, "v1", "CSIStorageCapacity", "csistoragecapacity", nil, true, false, func() Object { return &storagev1.CSIStorageCapacity{} }},
	{Budgets, "policy", "v1", "PodDisruptionBudget", "poddisruptionbudget", []string{"pdb"}, true, false, func() Object { return &policyv1.PodDisruptionBudget{} }},
	{Roles, rbacv1.GroupName, "v1", "Role", "role", nil, true, false, func() Object { return &rbacv1.Role{} }},
	{RoleBindings, rbacv1.GroupName, "v1", "RoleBinding", "rolebinding", nil, true, false, func() Object { return &rbacv1.RoleBinding{} }},
	{ClusterRoles, rbacv1.GroupName, "v1", "ClusterRole", "clusterrole", nil, false, false, func() Object { return &rbacv1.ClusterRole{} }},
	{ClusterRoleBindings, rbacv1.GroupName, "v1", "ClusterRoleBinding", "clusterrolebinding", nil, false, false, func() Object { return &rbacv1.ClusterRoleBinding{} }},
	{MutatingWebhooks, admissionv1.GroupName, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfiguration", nil, false, false, func() Object { return &admissionv1.MutatingWebhookConfiguration{} }},
	{ValidatingWebhooks, admissionv1.GroupName, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfiguration", nil, false, false, func() Object { return &admissionv1.ValidatingWebhookConfiguration{} }},
	{Policies, admissionv1.GroupName, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicy", nil, false, false, func() Object { return &admissionv1.ValidatingAdmissionPolicy{} }},
	{PolicyBindings, admissionv1.GroupName, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybinding", nil, false, false, func() Object { return &admissionv1.ValidatingAdmissionPolicyBinding{} }},
	{MutatingPolicies, admissionv1.GroupName, "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicy", nil, false, false, func() Object { return &admissionv1.MutatingAdmissionPolicy{} }},
	{MutatingPolicyBindings, admissionv1.GroupName, "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybinding", nil, false, false, func() Object { return &admissionv1.MutatingAdmissionPolicyBinding{} }},
	{Definitions, apiextensionsv1.SchemeGroupVersion.Group, "v1", "CustomResourceDefinition", "customresourcedefinition", []string{"crd", "crds"}, false, false, func() Object { return &apiextensionsv1.CustomResourceDefinition{} }},
	{APIServices, apiregistrationv1.GroupName, "v1", "APIService", "apiservice", nil, false, false, func() Object { return &apiregistrationv1.APIService{} }},
	{Endpoints, "", "v1", "Endpoints", "endpoints", []string{"ep"}, true, false, func() Object { return &corev1.Endpoints{} }}, //nolint:staticcheck // people still type `get endpoints`
	{EndpointSlices, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslice", nil, true, false, func() Object { return &discoveryv1.EndpointSlice{} }},
}

// OlderKinds are versions in which kinds are served beside the one that is kept.
var OlderKinds = []Kind{
	{Autoscalers, autoscalingv1.GroupName, "v1", "HorizontalPodAutoscaler", "horizontalpodautoscaler", []string{"hpa"}, true, false, func() Object { return &autoscalingv1.HorizontalPodAutoscaler{} }},
}

// NoteKinds are those that clients write beside the log, through the Kubernetes API
// alone. The two of events are one: they show the same objects.
var NoteKinds = []Kind{
	{Leases, coordinationv1.GroupName, "v1", "Lease", "lease", nil, true, false, func() Object { return &coordinationv1.Lease{} }},
	{Happenings, "", "v1", "Event", "event", []string{"ev"}, true, false, func() Object { return &corev1.Event{} }},
	{Happenings1, eventsv1.GroupName, "v1", "Event", "event", []string{"ev"}, true, false, func() Object { return &eventsv1.Event{} }},
}

// beside are the group versions that the Kubernetes API serves beside the kinds that there are objects of.
var beside = []string{"metrics.k8s.io/v1beta1", "authentication.k8s.io/v1", "authorization.k8s.io/v1"}

// Served tells whether every cluster serves a group version ("apps/v1") itself, whatever is written to it.
func Served(groupVersion string) bool {
	is := func(k Kind) bool { return k.APIVersion() == groupVersion }
	return slices.Contains(beside, groupVersion) || slices.ContainsFunc(Kinds, is) || slices.ContainsFunc(OlderKinds, is) || slices.ContainsFunc(NoteKinds, is)
}

// FollowsServices tells whether objects of a resource follow from services and pods,
// beside those that somebody wrote.
func FollowsServices(r Resource) bool { return r == Endpoints || r == EndpointSlices || r == Addresses }

// makers are the resources that Makers tells of.
var makers = []Resource{Deployments, ReplicaSets, Controllers, StatefulSets, DaemonSets, CronJobs, Jobs}

// Makers are the resources whose objects make others by themselves, owners before what they own.
func Makers() []Resource { return slices.Clone(makers) }

// Makes tells whether objects of a resource make others by themselves: such a one
// is asked to go rather than removed, so that whoever decides for it stops first.
func Makes(r Resource) bool { return slices.Contains(makers, r) }

// Plural is the resource without its group: "deployments".
func (k Kind) Plural() string { p, _, _ := strings.Cut(string(k.Resource), "."); return p }

// GVK is the kind's identity in a manifest.
func (k Kind) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Name}
}

// APIVersion is the manifest's apiVersion: "apps/v1", "v1".
func (k Kind) APIVersion() string { return k.GVK().GroupVersion().String() }

// Printed is how kubectl names the kind in result lines: "deployment.apps", "pod".
func (k Kind) Printed() string {
	if k.Group == "" {
		return k.Singular
	}
	return k.Singular + "." + k.Group
}

// KindOf finds a kind by its resource.
func KindOf(r Resource) (Kind, bool) {
	for i := range Kinds { // a copy of each would cost more than the comparison
		if Kinds[i].Resource == r {
			return Kinds[i], true
		}
	}
	return Kind{}, false
}

// KindFor finds a kind by the apiVersion and kind of a manifest.
func KindFor(apiVersion, kind string) (Kind, bool) {
	for i := range Kinds {
		if Kinds[i].Name == kind && Kinds[i].APIVersion() == apiVersion {
			return Kinds[i], true
		}
	}
	return Kind{}, false
}

// KindNamed finds a kind by what a person types: plural, singular, short name or kind, alone or with a group or version and
// group as kubectl takes them ("deploy.apps", "deployment.v1.apps", "pods.v1.", "ing.networking"). One in an older version is
// the kind of that.
func KindNamed(typed string) (Kind, bool) {
	return (Catalogue{}).Named(typed)
}

// named tells whether a word in small letters means the kind; loosely, also by the beginning of its group. Nothing is put
// together to compare with: each word of each command is asked about.
func (k *Kind) named(want string, loosely bool) bool {
	name, rest, qualified := strings.Cut(want, ".")
	plural := strings.HasPrefix(string(k.Resource), name) && name == k.Plural()
	switch {
	case name == "" || !plural && name != k.Singular && !slices.Contains(k.Short, name):
		return false
	case !qualified, rest == "", rest == k.Group:
		return true
	case loosely:
		return k.Group != "" && strings.HasPrefix(k.Group, rest)
	}
	version, group, grouped := strings.Cut(rest, ".")
	if !grouped {
		return k.Group == "" && version == k.Version
	}
	return (version == "" || version == k.Version) && (group == "" || group == k.Group)
}
