package rbac

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// The groups of Kubernetes' own policy.
const (
	authenticated   = "system:authenticated"
	unauthenticated = "system:unauthenticated"
	accounts        = "system:serviceaccounts"
	monitoring      = "system:monitoring"
)

// The API groups that its rules name.
const (
	core           = ""
	apps           = "apps"
	autoscaling    = "autoscaling"
	batch          = "batch"
	coordination   = "coordination.k8s.io"
	discovery      = "discovery.k8s.io"
	networking     = "networking.k8s.io"
	policies       = "policy"
	authorization  = "authorization.k8s.io"
	authentication = "authentication.k8s.io"
	certificates   = "certificates.k8s.io"
	happenings     = "events.k8s.io"
	devices        = "resource.k8s.io"
	storage        = "storage.k8s.io"
)

// The verbs that go together.
var (
	reads     = []string{"get", "list", "watch"}
	writes    = []string{"create", "delete", "deletecollection", "patch", "update"}
	readWrite = slices.Concat(writes, reads)
	creates   = []string{"create"}
	changes   = []string{"patch", "update"}
)

func on(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{group}, Resources: resources}
}

func paths(urls ...string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: urls}}
}

// toRole is the label of what is a part of an aggregated role.
func toRole(name string) string { return "rbac.authorization.k8s.io/aggregate-to-" + name }

// updated marks what a newer Stave may complete, unless somebody says no.
const updated = "rbac.authorization.kubernetes.io/autoupdate"

func meta(name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"}, Annotations: map[string]string{updated: "true"}}
	for _, l := range labels {
		m.Labels[l] = "true"
	}
	return m
}

func inSystem(m metav1.ObjectMeta) metav1.ObjectMeta {
	m.Namespace = metav1.NamespaceSystem
	return m
}

func role(name string, rules []rbacv1.PolicyRule, labels ...string) events.Object {
	return &rbacv1.ClusterRole{ObjectMeta: meta(name, labels...), Rules: rules}
}

func sum(name string, labels ...string) events.Object {
	return &rbacv1.ClusterRole{ObjectMeta: meta(name, labels...), AggregationRule: &rbacv1.AggregationRule{
		ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{toRole(name): "true"}}}}}
}

func bound(name string, groups ...string) events.Object {
	b := &rbacv1.ClusterRoleBinding{ObjectMeta: meta(name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}}
	for _, g := range groups {
		b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: g})
	}
	return b
}

// telling is what everybody needs who says what happens.
var telling = rbacv1.PolicyRule{Verbs: append([]string{"create"}, changes...), APIGroups: []string{core, happenings}, Resources: []string{"events"}}

// schedulerRules are for schedulers beside ours, whose manifests bind this role.
func schedulerRules() []rbacv1.PolicyRule {
	lead := on(coordination, []string{"get", "list", "update", "watch"}, "leases")
	lead.ResourceNames = []string{"kube-scheduler"}
	return []rbacv1.PolicyRule{
		telling, on(coordination, creates, "leases"), lead,
		on(core, append([]string{"delete"}, reads...), "pods"), on(core, creates, "bindings", "pods/binding"), on(core, changes, "pods/status"), on(core, []string{"update"}, "pods/finalizers"),
		on(core, reads, "namespaces", "nodes", "persistentvolumeclaims", "persistentvolumes", "replicationcontrollers", "services"),
		on(apps, reads, "replicasets", "statefulsets"), on(policies, reads, "poddisruptionbudgets"),
		on(authentication, creates, "tokenreviews"), on(authorization, creates, "subjectaccessreviews"),
		on(storage, reads, "csidrivers", "csinodes", "csistoragecapacities", "volumeattachments"),
		on(devices, reads, "deviceclasses", "devicetaintrules", "resourceslices"), on(devices, slices.Concat([]string{"create", "delete"}, reads, changes), "resourceclaims"),
		on(devices, slices.Concat(reads, changes), "resourceclaims/status"),
	}
}

// Defaults are the roles and bindings that Kubernetes' clients count on. Those of
// its own components are left out, as there are none of them here, but for those that
// schedulers and provisioners of others bind.
func Defaults() []events.Object {
	health := []string{"/healthz", "/livez", "/readyz", "/version", "/version/"}
	return []events.Object{
		role("cluster-admin", everything()),
		role("system:discovery", paths(append(slices.Clone(health), "/openapi", "/openapi/*", "/api", "/api/*", "/apis", "/apis/*")...)),
		role("system:public-info-viewer", paths(health...)),
		role("system:basic-user", []rbacv1.PolicyRule{on(authorization, creates, "selfsubjectaccessreviews", "selfsubjectrulesreviews"), on(authentication, creates, "selfsubjectreviews")}),
		role("system:monitoring", append(paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"), on(core, reads[:1], "nodes/metrics"))),
		role("system:service-account-issuer-discovery", paths("/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/")),
		role("system:certificates.k8s.io:kube-apiserver-client-approver", []rbacv1.PolicyRule{{Verbs: []string{"approve"}, APIGroups: []string{certificates},
			Resources: []string{"signers"}, ResourceNames: []string{"kubernetes.io/kube-apiserver-client"}}}),
		role("system:cluster-trust-bundle-discovery", []rbacv1.PolicyRule{on(certificates, reads, "clustertrustbundles")}),
		role("system:kube-scheduler", schedulerRules()),
		role("system:volume-scheduler", []rbacv1.PolicyRule{on(core, slices.Concat(reads, changes), "persistentvolumes", "persistentvolumeclaims"), on(storage, reads, "storageclasses")}),
		role("system:persistent-volume-provisioner", []rbacv1.PolicyRule{on(core, append([]string{"create", "delete"}, reads...), "persistentvolumes"),
			on(core, append([]string{"update"}, reads...), "persistentvolumeclaims"), on(storage, reads, "storageclasses"), on(core, []string{"watch"}, "events"), telling}),
		role("system:auth-delegator", []rbacv1.PolicyRule{on(authentication, creates, "tokenreviews"), on(authorization, creates, "subjectaccessreviews")}),
		&rbacv1.Role{ObjectMeta: inSystem(meta("extension-apiserver-authentication-reader")),
			Rules: []rbacv1.PolicyRule{{Verbs: reads, APIGroups: []string{core}, Resources: []string{"configmaps"}, ResourceNames: []string{"extension-apiserver-authentication"}}}},
		sum("admin"), sum("edit", toRole("admin")), sum("view", toRole("edit")),
		role("system:aggregate-to-admin", adminRules(), toRole("admin")),
		role("system:aggregate-to-edit", editRules(), toRole("edit")),
		role("system:aggregate-to-view", viewRules(), toRole("view")),
		bound("cluster-admin", Masters),
		bound("system:discovery", authenticated),
		bound("system:public-info-viewer", authenticated, unauthenticated),
		bound("system:basic-user", authenticated),
		bound("system:monitoring", monitoring),
		bound("system:service-account-issuer-discovery", accounts),
		bound("system:cluster-trust-bundle-discovery", accounts),
	}
}

func adminRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{on(authorization, creates, "localsubjectaccessreviews"), on(rbacv1.GroupName, readWrite, "roles", "rolebindings")}
}

func editRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on(core, reads, "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
		on(core, []string{"impersonate"}, "serviceaccounts"),
		on(core, writes, "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"),
		on(core, creates, "pods/eviction"),
		on(core, writes, "configmaps", "events", "persistentvolumeclaims", "replicationcontrollers", "replicationcontrollers/scale", "secrets", "serviceaccounts", "services", "services/proxy"),
		on(core, creates, "serviceaccounts/token"),
		on(apps, writes, "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets", "statefulsets/scale"),
		on(autoscaling, writes, "horizontalpodautoscalers"),
		on(batch, writes, "cronjobs", "jobs"),
		on(policies, writes, "poddisruptionbudgets"),
		on(networking, writes, "ingresses", "networkpolicies"),
		on(coordination, readWrite, "leases"),
		on(happenings, writes, "events"),
		on(devices, writes, "resourceclaims", "resourceclaimtemplates"),
	}
}

func viewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on(core, reads, "configmaps", "endpoints", "persistentvolumeclaims", "persistentvolumeclaims/status", "pods", "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services", "services/status"),
		on(core, reads, "bindings", "events", "limitranges", "namespaces/status", "pods/log", "pods/status", "replicationcontrollers/status", "resourcequotas", "resourcequotas/status"),
		on(core, reads, "namespaces"),
		on(discovery, reads, "endpointslices"),
		on(happenings, reads, "events"),
		on(devices, reads, "resourceclaims", "resourceclaims/status", "resourceclaimtemplates"),
		on(apps, reads, "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale", "deployments/status", "replicasets", "replicasets/scale", "replicasets/status", "statefulsets", "statefulsets/scale", "statefulsets/status"),
		on(autoscaling, reads, "horizontalpodautoscalers", "horizontalpodautoscalers/status"),
		on(batch, reads, "cronjobs", "cronjobs/status", "jobs", "jobs/status"),
		on(policies, reads, "poddisruptionbudgets", "poddisruptionbudgets/status"),
		on(networking, reads, "ingresses", "ingresses/status", "networkpolicies"),
	}
}
