package manifest

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// Warning is a value that a person set and nothing honours yet.
type Warning struct {
	Field string // path as Kubernetes writes it
	What  string // what becomes of it; empty: it is ignored
}

// String is the warning in one line.
func (w Warning) String() string {
	if w.What == "" {
		return w.Field + ": not honoured yet, it is ignored"
	}
	return w.Field + ": " + w.What
}

// Unhonoured walks an object as a person wrote it. A field that nothing honours
// is a warning; one that would weaken security or lose data if it were ignored
// is refused.
func Unhonoured(d Doc) ([]Warning, field.ErrorList) {
	tree, ok := honoured[d.Kind.Resource]
	if !ok {
		return nil, nil
	}
	w := honouring{name: d.Object.GetName()}
	w.walk(d.shown(), tree, "")
	return w.warnings, w.refused
}

// honouring is one Unhonoured under way.
type honouring struct {
	name     string // of the object
	warnings []Warning
	refused  field.ErrorList
}

func (w *honouring) walk(n *node, v verdict, path string) {
	switch {
	case n.empty() || v.meansNothing(n) || v.named && n.text == w.name:
	case v.refuse != "":
		w.refused = append(w.refused, field.Forbidden(asPath(path), v.refuse))
	case v.warn != "":
		w.warnings = append(w.warnings, Warning{Field: path, What: v.warn})
	case v.fields == nil:
	case n.kind == sequence:
		for i, item := range n.items {
			w.walk(item, v, element(path, i))
		}
	case n.kind == mapping:
		for _, e := range n.fields {
			w.walk(e.value, v.below(e.key), child(path, e.key))
		}
	}
}

// noMetrics is what becomes of metrics that no node measures.
var noMetrics = verdict{warn: "nodes measure CPU and memory alone: while it cannot be had, nothing is scaled down"}

// noDevices is what becomes of the kinds by which devices are given to pods.
const noDevices = "no driver allocates devices here: it is kept, and nothing comes of it unless somebody runs one"

const ignored = "not honoured yet, it is ignored"

// empty tells whether a value says nothing: null, {}, [].
func (n *node) empty() bool {
	return n.kind == null || n.kind == mapping && len(n.fields) == 0 || n.kind == sequence && len(n.items) == 0
}

// verdict is what becomes of a field. The zero verdict honours it with all below.
type verdict struct {
	refuse string             // why it cannot be ignored
	warn   string             // what becomes of it
	unless string             // values that change nothing or are honoured, between spaces
	named  bool               // the name of the object itself changes nothing: kubectl writes it
	fields map[string]verdict // honoured field by field; others are what extended or "*" says, or warned about
}

// extended stands for the names with a domain, as example.com/gpu.
const extended = "*/*"

func (v verdict) meansNothing(n *node) bool { return slices.Contains(strings.Fields(v.unless), n.text) }

func (v verdict) below(field string) verdict {
	if known, ok := v.fields[field]; ok {
		return known
	}
	if rest, ok := v.fields[extended]; ok && strings.Contains(field, "/") {
		return rest
	}
	if rest, ok := v.fields["*"]; ok {
		return rest
	}
	return verdict{warn: ignored}
}

func asPath(path string) *field.Path {
	var p *field.Path
	for _, step := range splitPath(path) {
		if p == nil {
			p = field.NewPath(step)
			continue
		}
		if strings.Trim(step, "0123456789") == "" {
			p = p.Key(step) // prints as an index does
			continue
		}
		p = p.Child(step)
	}
	return p
}

// object is the top of a kind: its metadata and whatever else it has.
func object(fields map[string]verdict) verdict {
	fields["apiVersion"], fields["kind"], fields["status"] = verdict{}, verdict{}, verdict{}
	fields["metadata"] = verdict{fields: map[string]verdict{
		"name": {}, "generateName": {}, "namespace": {}, "labels": {}, "annotations": {}, "uid": {}, "resourceVersion": {},
		"generation": {}, "creationTimestamp": {}, "managedFields": {}, "selfLink": {}, "finalizers": {}, "ownerReferences": {}, "deletionTimestamp": {}, "deletionGracePeriodSeconds": {},
	}}
	return verdict{fields: fields}
}

// honoured says, for each kind, which fields do something.
var honoured = map[events.Resource]verdict{
	events.Namespaces: object(map[string]verdict{"spec": {fields: map[string]verdict{"finalizers": {}}}}),
	events.ConfigMaps: object(map[string]verdict{"data": {}, "binaryData": {}, "immutable": {}}),
	events.Secrets:    object(map[string]verdict{"data": {}, "stringData": {}, "immutable": {}, "type": {}}),
	events.Accounts: object(map[string]verdict{"automountServiceAccountToken": {}, "imagePullSecrets": {},
		"secrets": {warn: "it restricts nothing: tokens are projected, and no Secret is mounted that a pod does not name"}}),
	events.Roles:               object(map[string]verdict{"rules": {}}),
	events.RoleBindings:        object(map[string]verdict{"subjects": {}, "roleRef": {}}),
	events.ClusterRoles:        object(map[string]verdict{"rules": {}, "aggregationRule": {}}),
	events.ClusterRoleBindings: object(map[string]verdict{"subjects": {}, "roleRef": {}}),
	events.MutatingWebhooks:    object(map[string]verdict{"webhooks": {}}),
	events.ValidatingWebhooks:  object(map[string]verdict{"webhooks": {}}),
	events.Policies: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"paramKind": {}, "matchConstraints": {}, "validations": {}, "failurePolicy": {}, "matchConditions": {}, "variables": {},
		"auditAnnotations": {warn: "there is no audit log: they are evaluated and go nowhere"}}}}),
	events.PolicyBindings: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"policyName": {}, "paramRef": {}, "matchResources": {}, "validationActions": {}}}}),
	events.MutatingPolicies: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"paramKind": {}, "matchConstraints": {}, "mutations": {}, "failurePolicy": {}, "matchConditions": {}, "variables": {}, "reinvocationPolicy": {}}}}),
	events.MutatingPolicyBindings: object(map[string]verdict{"spec": {fields: map[string]verdict{"policyName": {}, "paramRef": {}, "matchResources": {}}}}),
	events.Nodes: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"podCIDR": {}, "podCIDRs": {}, "taints": {}, "unschedulable": {}}}}),
	events.Pods: object(map[string]verdict{"spec": wholePod}),
	// Nothing reads a PodTemplate, in Kubernetes neither: it is kept for those who do.
	events.PodTemplates: object(map[string]verdict{"template": podTemplate}),
	events.StatefulSets: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"replicas": {}, "selector": {}, "serviceName": {}, "template": podTemplate, "podManagementPolicy": {}, "updateStrategy": {}, "minReadySeconds": {},
		"revisionHistoryLimit": {}, "ordinals": {}, "persistentVolumeClaimRetentionPolicy": {},
		"volumeClaimTemplates": claimTemplates()}}}),
	// A revision is what a controller wrote down: its data is for it, and for kubectl.
	events.Revisions: object(map[string]verdict{"data": {}, "revision": {}}),
	events.Deployments: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"replicas": {}, "selector": {}, "strategy": {}, "minReadySeconds": {}, "revisionHistoryLimit": {}, "paused": {},
		"progressDeadlineSeconds": {}, "template": podTemplate}}}),
	events.ReplicaSets: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"replicas": {}, "selector": {}, "minReadySeconds": {}, "template": podTemplate}}}),
	events.DaemonSets: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"selector": {}, "updateStrategy": {}, "minReadySeconds": {}, "revisionHistoryLimit": {}, "template": podTemplate}}}),
	events.Controllers: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"replicas": {}, "selector": {}, "minReadySeconds": {}, "template": podTemplate}}}),
	events.CronJobs: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"schedule": {}, "timeZone": {}, "startingDeadlineSeconds": {}, "concurrencyPolicy": {}, "suspend": {},
		"successfulJobsHistoryLimit": {}, "failedJobsHistoryLimit": {},
		"jobTemplate": {fields: map[string]verdict{"metadata": {fields: map[string]verdict{"labels": {}, "annotations": {}, "creationTimestamp": {},
			"name": {warn: "names of Jobs follow from their owner's", named: true}, "namespace": {warn: "Jobs are in their owner's namespace"}}}, "spec": jobSpec()}}}}}),
	events.Jobs: object(map[string]verdict{"spec": jobSpec()}),
	events.Budgets: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"minAvailable": {}, "maxUnavailable": {}, "selector": {}, "unhealthyPodEvictionPolicy": {}}}}),
	events.Autoscalers: object(map[string]verdict{"spec": {fields: map[string]verdict{"scaleTargetRef": {}, "minReplicas": {}, "maxReplicas": {}, "behavior": {},
		"metrics": {fields: map[string]verdict{"type": {}, "resource": {}, "containerResource": {}, "pods": noMetrics, "object": noMetrics, "external": noMetrics}}}}}),
	events.Quotas:  object(map[string]verdict{"spec": {fields: map[string]verdict{"hard": quotaHard(), "scopes": {}, "scopeSelector": {}}}}),
	events.Volumes: object(map[string]verdict{"spec": volumeSpec()}),
	events.Claims:  object(map[string]verdict{"spec": claimSpec()}),
	events.StorageClasses: object(map[string]verdict{"provisioner": {}, "parameters": {}, "reclaimPolicy": {}, "mountOptions": {}, "allowVolumeExpansion": {},
		"volumeBindingMode": {}, "allowedTopologies": {}}),
	// No storage driver of others is run by nodes: what these say is kept for their programs, and nothing here acts on it.
	events.AttributesClasses: object(map[string]verdict{"driverName": {}, "parameters": {}}),
	events.Attachments:       object(map[string]verdict{"spec": {}}),
	events.CSIDrivers:        object(map[string]verdict{"spec": {}}),
	events.CSINodes:          object(map[string]verdict{"spec": {}}),
	events.CSICapacities:     object(map[string]verdict{"nodeTopology": {}, "storageClassName": {}, "capacity": {}, "maximumVolumeSize": {}}),
	events.PriorityClasses:   object(map[string]verdict{"value": {}, "globalDefault": {}, "preemptionPolicy": {}, "description": {}}),
	events.RuntimeClasses: object(map[string]verdict{"handler": {}, "overhead": {fields: map[string]verdict{"podFixed": {}}},
		"scheduling": {fields: map[string]verdict{"nodeSelector": {}, "tolerations": {}}}}),
	events.CertRequests: object(map[string]verdict{"spec": {fields: map[string]verdict{"request": {}, "signerName": {}, "expirationSeconds": {}, "usages": {},
		"username": {}, "uid": {}, "groups": {}, "extra": {}}}}),
	events.TrustBundles: object(map[string]verdict{"spec": {fields: map[string]verdict{"signerName": {}, "trustBundle": {}}}}),
	events.PodCertRequests: object(map[string]verdict{"spec": {fields: map[string]verdict{"signerName": {}, "podName": {}, "podUID": {}, "serviceAccountName": {}, "serviceAccountUID": {},
		"nodeName": {}, "nodeUID": {}, "maxExpirationSeconds": {}, "stubPKCS10Request": {}, "unverifiedUserAnnotations": {}}}}),
	events.Ingresses:      object(map[string]verdict{"spec": {fields: map[string]verdict{"ingressClassName": {}, "defaultBackend": {}, "tls": {}, "rules": {}}}}),
	events.IngressClasses: object(map[string]verdict{"spec": {fields: map[string]verdict{"controller": {}, "parameters": {}}}}),
	events.NetworkPolicies: object(map[string]verdict{"spec": {fields: map[string]verdict{"podSelector": {}, "policyTypes": {},
		"ingress": policyRules("from"), "egress": policyRules("to")}}}),
	events.ServiceRanges:  object(map[string]verdict{"spec": {fields: map[string]verdict{"cidrs": {}}}}),
	events.Addresses:      object(map[string]verdict{"spec": {fields: map[string]verdict{"parentRef": {}}}}),
	events.FlowSchemas:    object(map[string]verdict{"spec": {warn: "each user has a share of the seats for requests here: it is kept, and decides nothing"}}),
	events.PriorityLevels: object(map[string]verdict{"spec": {warn: "each user has a share of the seats for requests here: it is kept, and decides nothing"}}),
	// Nothing here allocates devices: what is asked and offered is kept for the drivers and schedulers that somebody runs.
	events.DeviceClasses:   object(map[string]verdict{"spec": {warn: noDevices}}),
	events.DeviceTaints:    object(map[string]verdict{"spec": {warn: noDevices}}),
	events.DeviceClaims:    object(map[string]verdict{"spec": {warn: noDevices}}),
	events.DeviceTemplates: object(map[string]verdict{"spec": {warn: noDevices}}),
	events.DeviceSlices:    object(map[string]verdict{"spec": {warn: noDevices}}),
	events.Migrations:      object(map[string]verdict{"spec": {fields: map[string]verdict{"resource": {}}}}),
	events.APIServices: object(map[string]verdict{"spec": {fields: map[string]verdict{"service": {fields: map[string]verdict{"namespace": {}, "name": {}, "port": {}}},
		"group": {}, "version": {}, "insecureSkipTLSVerify": {}, "caBundle": {}, "groupPriorityMinimum": {}, "versionPriority": {}}}}),
	events.LimitRanges: object(map[string]verdict{"spec": {fields: map[string]verdict{"limits": {fields: map[string]verdict{
		"type": {warn: "there are no such objects here: it limits nothing", unless: "Container Pod PersistentVolumeClaim"},
		"min":  {}, "max": {}, "default": {}, "defaultRequest": {}, "maxLimitRequestRatio": {}}}}}}),
	events.Services: object(map[string]verdict{"spec": serviceSpec()}),
	events.Endpoints: object(map[string]verdict{"subsets": {fields: map[string]verdict{"addresses": {}, "notReadyAddresses": {},
		"ports": {fields: map[string]verdict{"name": {}, "port": {}, "protocol": {warn: "SCTP is not carried yet", unless: "TCP UDP"}, "appProtocol": {}}}}}}),
	events.EndpointSlices: object(map[string]verdict{
		"addressType": {warn: "services are of IPv4: it is kept, and no connection goes there", unless: "IPv4"},
		"ports":       {fields: map[string]verdict{"name": {}, "port": {}, "protocol": {warn: "SCTP is not carried yet", unless: "TCP UDP"}, "appProtocol": {}}},
		"endpoints": {fields: map[string]verdict{"addresses": {}, "conditions": {}, "hostname": {}, "targetRef": {}, "nodeName": {}, "zone": {}, "deprecatedTopology": {},
			"hints": {warn: "connections go to all endpoints, wherever they are"}}}}),
	events.Definitions: object(map[string]verdict{"spec": {fields: map[string]verdict{
		"group": {}, "names": {}, "scope": {}, "versions": {}, "preserveUnknownFields": {},
		"conversion": {fields: map[string]verdict{"strategy": {}, "webhook": {}}}}}}),
}

// quotaHard are the names of what a quota limits: all but those of objects that are
// no rows of the log.
func quotaHard() verdict {
	beside := verdict{warn: "they are kept beside the log, and nothing counts them"}
	derived := verdict{warn: "they follow from services, and nothing counts them: limit services"}
	return verdict{fields: map[string]verdict{"*": {},
		"count/leases.coordination.k8s.io": beside, "count/events": beside, "count/events.events.k8s.io": beside,
		"count/endpoints": derived, "count/endpointslices.discovery.k8s.io": derived}}
}

// policyRules are the rules of a NetworkPolicy in one direction; peers is what it calls the other side.
func policyRules(peers string) verdict {
	return verdict{fields: map[string]verdict{
		peers:   {fields: map[string]verdict{"podSelector": {}, "namespaceSelector": {}, "ipBlock": {fields: map[string]verdict{"cidr": {}, "except": {}}}}},
		"ports": {fields: map[string]verdict{"protocol": {}, "port": {}, "endPort": {}}}}}
}

func jobSpec() verdict {
	return verdict{fields: map[string]verdict{
		"parallelism": {}, "completions": {}, "activeDeadlineSeconds": {}, "podFailurePolicy": {}, "successPolicy": {}, "backoffLimit": {},
		"backoffLimitPerIndex": {}, "maxFailedIndexes": {}, "selector": {}, "manualSelector": {}, "ttlSecondsAfterFinished": {},
		"completionMode": {}, "suspend": {}, "podReplacementPolicy": {}, "managedBy": {}, "template": podTemplate}}
}

func serviceSpec() verdict {
	return verdict{fields: map[string]verdict{
		"type": {warn: "Stave has no load balancer: until one of yours takes it up and writes its status, it works as a NodePort service", unless: "ClusterIP NodePort ExternalName"}, "selector": {}, "clusterIP": {}, "clusterIPs": {}, "externalName": {}, "publishNotReadyAddresses": {},
		"sessionAffinity": {}, "sessionAffinityConfig": {}, "ipFamilies": {}, "ipFamilyPolicy": {},
		"internalTrafficPolicy": {}, "externalTrafficPolicy": {}, "healthCheckNodePort": {},
		"trafficDistribution":           {warn: "zones are not looked at: traffic goes to all endpoints", unless: "PreferSameNode"},
		"allocateLoadBalancerNodePorts": {},
		"loadBalancerSourceRanges":      {refuse: "nothing filters sources yet: the service would be open to all"},
		"ports": {fields: map[string]verdict{
			"name": {}, "protocol": {warn: "SCTP is not carried yet", unless: "TCP UDP"}, "port": {}, "targetPort": {}, "nodePort": {}, "appProtocol": {}}},
	}}
}

func template() verdict {
	return verdict{fields: map[string]verdict{
		"metadata": {fields: map[string]verdict{"labels": {}, "annotations": {}, "creationTimestamp": {},
			"name": {warn: "names of pods follow from their owner's"}, "namespace": {warn: "pods are in their owner's namespace"}}},
		"spec": wholePod,
	}}
}
