package table

//lint:file-ignore SA1019 people still type "get endpoints"

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

const none = "<none>"

// printers has one entry a kind; a kind without one shows NAME and AGE.
var printers = map[events.Resource]printer{
	events.Namespaces: {cols("NAME STATUS AGE"), rowOf(func(o *corev1.Namespace, age string, _ time.Time) []string {
		return []string{o.Name, string(o.Status.Phase), age}
	})},
	events.ConfigMaps: {cols("NAME DATA AGE"), rowOf(func(o *corev1.ConfigMap, age string, _ time.Time) []string {
		return []string{o.Name, fmt.Sprint(len(o.Data) + len(o.BinaryData)), age}
	})},
	events.Secrets: {cols("NAME TYPE DATA AGE"), rowOf(func(o *corev1.Secret, age string, _ time.Time) []string {
		return []string{o.Name, string(o.Type), fmt.Sprint(len(o.Data)), age}
	})},
	events.Accounts: {cols("NAME SECRETS AGE"), rowOf(func(o *corev1.ServiceAccount, age string, _ time.Time) []string {
		return []string{o.Name, fmt.Sprint(len(o.Secrets)), age}
	})},
	events.Roles: {[]Column{{Name: "NAME"}, {Name: "CREATED AT"}}, rowOf(func(o *rbacv1.Role, _ string, _ time.Time) []string {
		return []string{o.Name, o.CreationTimestamp.UTC().Format(time.RFC3339)}
	})},
	events.Definitions: {[]Column{{Name: "NAME"}, {Name: "CREATED AT"}}, rowOf(func(o *apiextensionsv1.CustomResourceDefinition, _ string, _ time.Time) []string {
		return []string{o.Name, o.CreationTimestamp.UTC().Format(time.RFC3339)}
	})},
	events.ClusterRoles: {[]Column{{Name: "NAME"}, {Name: "CREATED AT"}}, rowOf(func(o *rbacv1.ClusterRole, _ string, _ time.Time) []string {
		return []string{o.Name, o.CreationTimestamp.UTC().Format(time.RFC3339)}
	})},
	events.RoleBindings: {cols("NAME ROLE AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"), rowOf(func(o *rbacv1.RoleBinding, age string, _ time.Time) []string {
		return bindingRow(o.Name, o.RoleRef, age, o.Subjects)
	})},
	events.ClusterRoleBindings: {cols("NAME ROLE AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"), rowOf(func(o *rbacv1.ClusterRoleBinding, age string, _ time.Time) []string {
		return bindingRow(o.Name, o.RoleRef, age, o.Subjects)
	})},
	events.MutatingWebhooks: {cols("NAME WEBHOOKS AGE"), rowOf(func(o *admissionv1.MutatingWebhookConfiguration, age string, _ time.Time) []string {
		return []string{o.Name, fmt.Sprint(len(o.Webhooks)), age}
	})},
	events.ValidatingWebhooks: {cols("NAME WEBHOOKS AGE"), rowOf(func(o *admissionv1.ValidatingWebhookConfiguration, age string, _ time.Time) []string {
		return []string{o.Name, fmt.Sprint(len(o.Webhooks)), age}
	})},
	events.Policies: {cols("NAME VALIDATIONS PARAMKIND AGE"), rowOf(func(o *admissionv1.ValidatingAdmissionPolicy, age string, _ time.Time) []string {
		return []string{o.Name, fmt.Sprint(len(o.Spec.Validations)), paramKind(o.Spec.ParamKind), age}
	})},
	events.PolicyBindings: {cols("NAME POLICYNAME PARAMREF AGE"), rowOf(func(o *admissionv1.ValidatingAdmissionPolicyBinding, age string, _ time.Time) []string {
		return []string{o.Name, o.Spec.PolicyName, paramRef(o.Spec.ParamRef), age}
	})},
	events.MutatingPolicies: {cols("NAME MUTATIONS PARAMKIND AGE"), rowOf(func(o *admissionv1.MutatingAdmissionPolicy, age string, _ time.Time) []string {
		return []string{o.Name, fmt.Sprint(len(o.Spec.Mutations)), paramKind(o.Spec.ParamKind), age}
	})},
	events.MutatingPolicyBindings: {cols("NAME POLICYNAME PARAMREF AGE"), rowOf(func(o *admissionv1.MutatingAdmissionPolicyBinding, age string, _ time.Time) []string {
		return []string{o.Name, o.Spec.PolicyName, paramRef(o.Spec.ParamRef), age}
	})},
	events.Nodes: {cols("NAME STATUS ROLES AGE VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"), rowOf(nodeRow)},
	events.Pods:  {cols("NAME READY STATUS RESTARTS AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"), rowOf(podRow)},
	events.Services: {cols("NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE", "SELECTOR"), rowOf(func(o *corev1.Service, age string, _ time.Time) []string {
		return []string{o.Name, string(o.Spec.Type), orNone(o.Spec.ClusterIP), externalIP(o), ports(o), age, labelText(o.Spec.Selector)}
	})},
	events.Deployments: {cols("NAME READY UP-TO-DATE AVAILABLE AGE", "CONTAINERS", "IMAGES", "SELECTOR"), rowOf(func(o *appsv1.Deployment, age string, _ time.Time) []string {
		names, images := containers(&o.Spec.Template.Spec)
		return []string{o.Name, fmt.Sprintf("%d/%d", o.Status.ReadyReplicas, wanted(o.Spec.Replicas)), fmt.Sprint(o.Status.UpdatedReplicas),
			fmt.Sprint(o.Status.AvailableReplicas), age, names, images, selectorText(o.Spec.Selector)}
	})},
	events.ReplicaSets: {cols("NAME DESIRED CURRENT READY AGE", "CONTAINERS", "IMAGES", "SELECTOR"), rowOf(func(o *appsv1.ReplicaSet, age string, _ time.Time) []string {
		names, images := containers(&o.Spec.Template.Spec)
		return []string{o.Name, fmt.Sprint(wanted(o.Spec.Replicas)), fmt.Sprint(o.Status.Replicas), fmt.Sprint(o.Status.ReadyReplicas), age,
			names, images, selectorText(o.Spec.Selector)}
	})},
	events.Controllers: {cols("NAME DESIRED CURRENT READY AGE", "CONTAINERS", "IMAGES", "SELECTOR"), rowOf(func(o *corev1.ReplicationController, age string, _ time.Time) []string {
		names, images := "", ""
		if o.Spec.Template != nil {
			names, images = containers(&o.Spec.Template.Spec)
		}
		return []string{o.Name, fmt.Sprint(wanted(o.Spec.Replicas)), fmt.Sprint(o.Status.Replicas), fmt.Sprint(o.Status.ReadyReplicas), age,
			names, images, labelText(o.Spec.Selector)}
	})},
	events.DaemonSets: {daemonColumns, rowOf(daemonRow)},
	events.PodTemplates: {[]Column{{Name: "NAME"}, {Name: "CONTAINERS"}, {Name: "IMAGES"}, {Name: "POD LABELS"}}, rowOf(func(o *corev1.PodTemplate, _ string, _ time.Time) []string {
		names, images := containers(&o.Template.Spec)
		return []string{o.Name, names, images, labelText(o.Template.Labels)}
	})},
	events.StatefulSets: {cols("NAME READY AGE", "CONTAINERS", "IMAGES"), rowOf(func(o *appsv1.StatefulSet, age string, _ time.Time) []string {
		names, images := containers(&o.Spec.Template.Spec)
		return []string{o.Name, fmt.Sprintf("%d/%d", o.Status.ReadyReplicas, wanted(o.Spec.Replicas)), age, names, images}
	})},
	events.Revisions: {cols("NAME CONTROLLER REVISION AGE"), rowOf(func(o *appsv1.ControllerRevision, age string, _ time.Time) []string {
		return []string{o.Name, controllerOf(o), fmt.Sprint(o.Revision), age}
	})},
	events.Quotas:          {cols("NAME REQUEST LIMIT AGE"), rowOf(quotaRow)},
	events.CertRequests:    {cols("NAME AGE SIGNERNAME REQUESTOR REQUESTEDDURATION CONDITION"), rowOf(certRow)},
	events.PodCertRequests: {cols("NAME PODNAME SERVICEACCOUNTNAME NODENAME SIGNERNAME STATE", "UNVERIFIEDUSERANNOTATIONS"), rowOf(podCertRow)},
	events.TrustBundles: {cols("NAME SIGNERNAME"), rowOf(func(o *certificatesv1.ClusterTrustBundle, _ string, _ time.Time) []string {
		return []string{o.Name, orNone(o.Spec.SignerName)}
	})},
	events.RuntimeClasses: {cols("NAME HANDLER AGE"), rowOf(func(o *nodev1.RuntimeClass, age string, _ time.Time) []string {
		return []string{o.Name, o.Handler, age}
	})},
	events.PriorityClasses: {cols("NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY"), rowOf(func(o *schedulingv1.PriorityClass, age string, _ time.Time) []string {
		return []string{o.Name, fmt.Sprint(o.Value), fmt.Sprint(o.GlobalDefault), age, string(*cmp.Or(o.PreemptionPolicy, &preempts))}
	})},
	events.LimitRanges: {[]Column{{Name: "NAME"}, {Name: "CREATED AT"}}, rowOf(func(o *corev1.LimitRange, _ string, _ time.Time) []string {
		return []string{o.Name, o.CreationTimestamp.UTC().Format(time.RFC3339)}
	})},
	events.CronJobs: {[]Column{{Name: "NAME"}, {Name: "SCHEDULE"}, {Name: "TIMEZONE"}, {Name: "SUSPEND"}, {Name: "ACTIVE"}, {Name: "LAST SCHEDULE"}, {Name: "AGE"},
		{Name: "CONTAINERS", Wide: true}, {Name: "IMAGES", Wide: true}, {Name: "SELECTOR", Wide: true}}, rowOf(cronRow)},
	events.Jobs: {jobColumns, rowOf(jobRow)},
	events.Budgets: {[]Column{{Name: "NAME"}, {Name: "MIN AVAILABLE"}, {Name: "MAX UNAVAILABLE"}, {Name: "ALLOWED DISRUPTIONS"}, {Name: "AGE"}}, rowOf(func(o *policyv1.PodDisruptionBudget, age string, _ time.Time) []string {
		return []string{o.Name, countOr(o.Spec.MinAvailable), countOr(o.Spec.MaxUnavailable), fmt.Sprint(o.Status.DisruptionsAllowed), age}
	})},
	events.Endpoints: {cols("NAME ENDPOINTS AGE"), rowOf(func(o *corev1.Endpoints, age string, _ time.Time) []string {
		return []string{o.Name, endpoints(o), age}
	})},
	events.Leases: {cols("NAME HOLDER AGE"), rowOf(func(o *coordinationv1.Lease, age string, _ time.Time) []string {
		holder := ""
		if o.Spec.HolderIdentity != nil {
			holder = *o.Spec.HolderIdentity
		}
		return []string{o.Name, holder, age}
	})},
	events.Happenings:        {happeningColumns, rowOf(happeningRow)},
	events.Volumes:           {volumeColumns, rowOf(volumeRow)},
	events.Claims:            {claimColumns, rowOf(claimRow)},
	events.StorageClasses:    {cols("NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE"), rowOf(classRow)},
	events.AttributesClasses: {cols("NAME DRIVERNAME AGE"), rowOf(attributesRow)},
	events.Attachments:       {attachmentColumns, rowOf(attachmentRow)},
	events.CSIDrivers:        {driverColumns, rowOf(driverRow)},
	events.CSINodes:          {cols("NAME DRIVERS AGE"), rowOf(csiNodeRow)},
	events.Autoscalers:       {cols("NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE"), rowOf(autoscalerRow)},
	events.CSICapacities:     {cols("NAME STORAGECLASSNAME CAPACITY"), rowOf(capacityRow)},
	events.EndpointSlices:    {cols("NAME ADDRESSTYPE PORTS ENDPOINTS AGE"), rowOf(sliceRow)},
}

// controllerOf is an object's controller as kubectl's columns name it.
func controllerOf(o metav1.Object) string {
	c := metav1.GetControllerOf(o)
	if c == nil {
		return none
	}
	gv, _ := schema.ParseGroupVersion(c.APIVersion) // admission read it
	return strings.ToLower(gv.WithKind(c.Kind).GroupKind().String()) + "/" + c.Name
}

// rowOf makes cells of a typed object; one of another type has none but its name.
func rowOf[T events.Object](cells func(o T, age string, now time.Time) []string) func(events.Object, time.Time) []string {
	return func(o events.Object, now time.Time) []string {
		v, ok := o.(T)
		if !ok {
			return []string{o.GetName()}
		}
		return cells(v, AgeOf(o, now), now)
	}
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// unset is what kubectl prints for a policy's parameters that there are none of.
const unset = "<unset>"

func paramKind(k *admissionv1.ParamKind) string {
	if k == nil {
		return unset
	}
	return k.APIVersion + "/" + k.Kind
}

func paramRef(r *admissionv1.ParamRef) string {
	switch {
	case r == nil:
		return unset
	case r.Name == "":
		return selectorText(r.Selector)
	case r.Namespace == "":
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

func wanted(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func containers(spec *corev1.PodSpec) (names, images string) {
	var n, i []string
	for _, c := range spec.Containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

func selectorText(s *metav1.LabelSelector) string {
	if s == nil {
		return none
	}
	return metav1.FormatLabelSelector(s)
}

func nodeRow(o *corev1.Node, age string, _ time.Time) []string {
	internal, external := none, none
	for i := len(o.Status.Addresses) - 1; i >= 0; i-- { // the first one of each stands
		switch a := o.Status.Addresses[i]; a.Type {
		case corev1.NodeInternalIP:
			internal = a.Address
		case corev1.NodeExternalIP:
			external = a.Address
		}
	}
	i := &o.Status.NodeInfo
	roles := strings.Join(projections.Roles(o), ",")
	return []string{o.Name, NodeStatus(o), orNone(roles), age, i.KubeletVersion, internal, external,
		orUnknown(i.OSImage), orUnknown(i.KernelVersion), orUnknown(i.ContainerRuntimeVersion)}
}

func orUnknown(s string) string {
	if s == "" {
		return "<unknown>"
	}
	return s
}

// NodeStatus is the STATUS word of a node.
func NodeStatus(o *corev1.Node) string {
	out := "Unknown"
	for _, c := range o.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out = "NotReady"
			if c.Status == corev1.ConditionTrue {
				out = "Ready"
			}
		}
	}
	if o.Spec.Unschedulable {
		out += ",SchedulingDisabled"
	}
	return out
}

func externalIP(o *corev1.Service) string {
	ips := append([]string{}, o.Spec.ExternalIPs...)
	switch o.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return orNone(o.Spec.ExternalName)
	case corev1.ServiceTypeLoadBalancer:
		for _, i := range o.Status.LoadBalancer.Ingress {
			ips = append(ips, i.IP+i.Hostname)
		}
		if len(ips) == 0 {
			return "<pending>"
		}
	}
	return orNone(strings.Join(ips, ","))
}

func ports(o *corev1.Service) string {
	var out []string
	for _, p := range o.Spec.Ports {
		t := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.NodePort > 0 {
			t = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		}
		out = append(out, t)
	}
	return orNone(strings.Join(out, ","))
}

// maxShown is how many endpoints kubectl prints before it counts.
const maxShown = 3

func endpoints(o *corev1.Endpoints) string {
	var all []string
	for _, s := range o.Subsets {
		for _, p := range portsOrNone(s.Ports) {
			for _, a := range s.Addresses {
				all = append(all, a.IP+p)
			}
		}
	}
	sortAddresses(all)
	return shortList(all, " + %d more...")
}

// sortAddresses orders "10.0.0.9:80" before "10.0.0.10:80".
func sortAddresses(all []string) {
	slices.SortStableFunc(all, func(a, b string) int {
		x, xErr := netip.ParseAddrPort(a)
		y, yErr := netip.ParseAddrPort(b)
		if xErr != nil || yErr != nil {
			v, _ := netip.ParseAddr(a) // one that is no address sorts first
			w, _ := netip.ParseAddr(b)
			return v.Compare(w)
		}
		return x.Compare(y)
	})
}

func portsOrNone(list []corev1.EndpointPort) []string {
	if len(list) == 0 {
		return []string{""}
	}
	var out []string
	for _, p := range list {
		out = append(out, fmt.Sprintf(":%d", p.Port))
	}
	return out
}

func shortList(all []string, more string) string {
	if len(all) == 0 {
		return none
	}
	if n := len(all) - maxShown; n > 0 {
		return strings.Join(all[:maxShown], ",") + fmt.Sprintf(more, n)
	}
	return strings.Join(all, ",")
}

func sliceRow(o *discoveryv1.EndpointSlice, age string, _ time.Time) []string {
	var numbers, all []string
	for _, p := range o.Ports {
		if p.Port != nil {
			numbers = append(numbers, fmt.Sprint(*p.Port))
		}
	}
	for _, e := range o.Endpoints {
		all = append(all, e.Addresses...)
	}
	sort.Strings(numbers)
	sortAddresses(all)
	portText, endpointText := "<unset>", "<unset>"
	if len(numbers) > 0 {
		portText = shortList(numbers, " + %d more...")
	}
	if len(all) > 0 {
		endpointText = shortList(all, " + %d more...")
	}
	return []string{o.Name, string(o.AddressType), portText, endpointText, age}
}

// countOr is a number or part of a budget, if it says one.
func countOr(n *intstr.IntOrString) string {
	if n == nil {
		return "N/A"
	}
	return n.String()
}
