package table

//lint:file-ignore SA1019 people still type "get endpoints"

import (
	"fmt"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Describe tells of one object at length, as kubectl does; false when it is not
// there. rows are what happened to it, from why.EventsOf.
func Describe(s projections.State, k events.Key, now time.Time, rows []EventRow) (string, bool) {
	o, ok := s.Object(k, now)
	if !ok {
		return "", false
	}
	p := newPage(now)
	told := true
	switch o := o.(type) {
	case *corev1.Pod:
		row, _ := s.PodOf(k) // nil: nobody has heard of it
		p.pod(o, row)
	case *corev1.Node:
		p.node(s, o)
	case *appsv1.Deployment:
		p.deployment(s, o)
	case *appsv1.ReplicaSet:
		p.replicaSet(s, o, selectorText(o.Spec.Selector), o.Status.Replicas, o.Spec.Replicas, &o.Spec.Template)
	case *corev1.ReplicationController:
		p.replicaSet(s, o, labelText(o.Spec.Selector), o.Status.Replicas, o.Spec.Replicas, o.Spec.Template)
	case *appsv1.DaemonSet:
		p.daemonSet(s, o)
	case *appsv1.StatefulSet:
		p.statefulSet(s, o)
	case *batchv1.CronJob:
		p.cronJob(o)
	case *batchv1.Job:
		p.job(o)
	case *autoscalingv2.HorizontalPodAutoscaler:
		p.autoscaler(o)
	case *corev1.Service:
		p.service(s, o)
	case *corev1.Endpoints:
		p.endpoints(o)
	case *discoveryv1.EndpointSlice:
		p.slice(o)
	case *corev1.Namespace:
		p.line(0, "Name:\t%s", o.Name)
		p.labels("Labels", o.Labels)
		p.labels("Annotations", o.Annotations)
		p.line(0, "Status:\t%s", o.Status.Phase)
		p.rations(s, o.Name, now)
		told = false
	case *corev1.ConfigMap:
		p.configMap(o)
	case *corev1.Secret:
		p.secret(o)
		told = false
	case *corev1.ServiceAccount:
		p.account(o)
	default:
		told = p.stored(s, o) || p.ways(s, o) || p.lawful(o)
	}
	if told {
		p.events(rows)
	}
	return p.done(), true
}

// lawful tells of kinds that say what may be, and is false then: kubectl tells no
// events of them. Of any other it tells all that it holds.
func (p page) lawful(o events.Object) bool {
	switch o := o.(type) {
	case *rbacv1.Role:
		p.role(o, o.Rules)
	case *rbacv1.ClusterRole:
		p.role(o, o.Rules)
	case *rbacv1.RoleBinding:
		p.binding(o, o.RoleRef, o.Subjects)
	case *rbacv1.ClusterRoleBinding:
		p.binding(o, o.RoleRef, o.Subjects)
	case *corev1.ResourceQuota:
		p.quota(o)
	case *corev1.LimitRange:
		p.limitRange(o)
	case *schedulingv1.PriorityClass:
		p.class(o)
	case *networkingv1.NetworkPolicy:
		p.networkPolicy(o)
	case *certificatesv1.CertificateSigningRequest:
		p.certRequest(o)
		return true
	default:
		p.fields(o)
		return true
	}
	return false
}

// page is a description under way: tab-separated cells, aligned at the end.
type page struct {
	out *strings.Builder
	w   *tabwriter.Writer
	now time.Time
}

func newPage(now time.Time) page {
	out := &strings.Builder{}
	return page{out: out, w: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0), now: now}
}

// line writes one line, indented by two blanks a level.
func (p page) line(level int, format string, args ...any) {
	fmt.Fprintf(p.w, strings.Repeat("  ", level)+format+"\n", args...)
}

func (p page) text(s string) { fmt.Fprint(p.w, s) }

func (p page) done() string {
	_ = p.w.Flush() // it writes to memory
	return p.out.String()
}

func (p page) meta(o metav1.Object) {
	p.line(0, "Name:\t%s", o.GetName())
	if o.GetNamespace() != "" {
		p.line(0, "Namespace:\t%s", o.GetNamespace())
	}
	p.labels("Labels", o.GetLabels())
	p.labels("Annotations", o.GetAnnotations())
}

// labels prints one label a line. Annotations have a blank behind the colon.
func (p page) labels(title string, m map[string]string) {
	if len(m) == 0 {
		p.line(0, "%s:\t%s", title, none)
		return
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	between := "="
	if title == "Annotations" {
		between = ": "
	}
	for i, k := range keys {
		lead := ""
		if i == 0 {
			lead = title + ":"
		}
		p.line(0, "%s\t%s%s%s", lead, k, between, m[k])
	}
}

// events prints what happened, as kubectl lists an object's Events.
func (p page) events(rows []EventRow) {
	if len(rows) == 0 {
		p.line(0, "Events:\t%s", none)
		return
	}
	p.text(p.flushed())
	p.line(0, "Events:")
	p.line(1, "Type\tReason\tAge\tFrom\tMessage")
	p.line(1, "----\t------\t----\t----\t-------")
	for _, r := range rows {
		p.line(1, "%s\t%s\t%s\t%s\t%s", r.Type, r.Reason, r.age(p.now), r.From, strings.TrimSpace(r.Message))
	}
}

// flushed ends the alignment of what was written so far.
func (p page) flushed() string { _ = p.w.Flush(); return "" }

func date(t metav1.Time) string { return t.UTC().Format(time.RFC1123Z) }

func title(ok bool) string {
	if ok {
		return "True"
	}
	return "False"
}

func controlledBy(p page, o metav1.Object) {
	if c := metav1.GetControllerOf(o); c != nil {
		p.line(0, "Controlled By:\t%s/%s", c.Kind, c.Name)
	}
}

func (p page) configMap(o *corev1.ConfigMap) {
	p.meta(o)
	p.text("\nData\n====\n")
	for _, k := range sortedKeys(o.Data) {
		p.text(k + ":\n----\n" + o.Data[k] + "\n\n")
	}
	p.text("\nBinaryData\n====\n")
	for _, k := range sortedKeys(o.BinaryData) {
		p.text(fmt.Sprintf("%s: %d bytes\n", k, len(o.BinaryData[k])))
	}
	p.text("\n")
}

// secret tells of values only how long they are.
func (p page) secret(o *corev1.Secret) {
	p.meta(o)
	p.text("\n")
	p.line(0, "Type:\t%s", o.Type)
	p.text("\nData\n====\n")
	for _, k := range sortedKeys(o.Data) {
		p.line(0, "%s:\t%d bytes", k, events.PlainSize(o.Data[k]))
	}
}

// account tells which Secrets a ServiceAccount names. Kubernetes' two lines about
// tokens in Secrets are not there: tokens are projected into pods.
func (p page) account(o *corev1.ServiceAccount) {
	p.meta(o)
	var pull, mountable []string
	for _, s := range o.ImagePullSecrets {
		pull = append(pull, s.Name)
	}
	for _, s := range o.Secrets {
		mountable = append(mountable, s.Name)
	}
	p.line(0, "Image pull secrets:\t%s", orNone(strings.Join(pull, ", ")))
	p.line(0, "Mountable secrets:\t%s", orNone(strings.Join(mountable, ", ")))
	if m := o.AutomountServiceAccountToken; m != nil {
		p.line(0, "Automount token:\t%t", *m)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func (p page) service(s projections.State, o *corev1.Service) {
	p.meta(o)
	p.line(0, "Selector:\t%s", labelText(o.Spec.Selector))
	p.line(0, "Type:\t%s", o.Spec.Type)
	if o.Spec.IPFamilyPolicy != nil {
		p.line(0, "IP Family Policy:\t%s", *o.Spec.IPFamilyPolicy)
	}
	var families []string
	for _, f := range o.Spec.IPFamilies {
		families = append(families, string(f))
	}
	if len(families) > 0 {
		p.line(0, "IP Families:\t%s", strings.Join(families, ","))
	}
	p.line(0, "IP:\t%s", o.Spec.ClusterIP)
	p.line(0, "IPs:\t%s", orNone(strings.Join(o.Spec.ClusterIPs, ",")))
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		p.line(0, "External Name:\t%s", o.Spec.ExternalName)
	}
	for _, port := range o.Spec.Ports {
		p.servicePort(s, o, port)
	}
	p.line(0, "Session Affinity:\t%s", o.Spec.SessionAffinity)
	p.traffic(s, o)
	for _, u := range projections.UnprogrammedOn(s, events.Key{Resource: events.Services, Namespace: o.Namespace, Name: o.Name}) {
		p.line(0, "Not Programmed:\tnode %s: %s", u.Node, u.Why)
	}
}

// traffic tells how far a service's traffic goes, and where that comes to nothing.
func (p page) traffic(s projections.State, o *corev1.Service) {
	if o.Spec.ExternalTrafficPolicy != "" {
		p.line(0, "External Traffic Policy:\t%s", o.Spec.ExternalTrafficPolicy)
	}
	if o.Spec.InternalTrafficPolicy != nil {
		p.line(0, "Internal Traffic Policy:\t%s", *o.Spec.InternalTrafficPolicy)
	}
	if o.Spec.TrafficDistribution != nil {
		p.line(0, "Traffic Distribution:\t%s", *o.Spec.TrafficDistribution)
	}
	if o.Spec.HealthCheckNodePort != 0 {
		p.line(0, "HealthCheck NodePort:\t%d", o.Spec.HealthCheckNodePort)
	}
	row, _ := projections.NetRow(s, events.Key{Resource: events.Services, Namespace: o.Namespace, Name: o.Name})
	on, nowhere := projections.Spread(s, row)
	if len(on)+len(nowhere) == 0 {
		return
	}
	var with []string
	for _, n := range on {
		with = append(with, n.String())
	}
	p.line(0, "Endpoints On:\t%s", orNone(strings.Join(with, ", ")))
	p.line(0, "No Endpoints On:\t%s", orNone(strings.Join(nowhere, ", ")))
}

func (p page) servicePort(s projections.State, o *corev1.Service, port corev1.ServicePort) {
	name := port.Name
	if name == "" {
		name = "<unset>"
	}
	p.line(0, "Port:\t%s\t%d/%s", name, port.Port, port.Protocol)
	if t := port.TargetPort.String(); t != "0" {
		p.line(0, "TargetPort:\t%s/%s", t, port.Protocol)
	}
	if port.NodePort > 0 {
		p.line(0, "NodePort:\t%s\t%d/%s", name, port.NodePort, port.Protocol)
	}
	row, _ := projections.NetRow(s, events.Key{Resource: events.Services, Namespace: o.Namespace, Name: o.Name})
	for _, n := range row.Ports {
		if n.Port != port.Port || n.Name != port.Name {
			continue
		}
		text := strings.TrimPrefix(shortList(n.Endpoints, " + %d more..."), none)
		if o.Namespace == projections.GatewayKey.Namespace && o.Name == projections.GatewayKey.Name { // no table has them: nodes answer themselves
			e, _ := s.Object(events.Key{Resource: events.Endpoints, Namespace: o.Namespace, Name: o.Name}, p.now)
			text = strings.TrimPrefix(endpoints(e.(*corev1.Endpoints)), none)
		}
		p.line(0, "Endpoints:\t%s", text)
	}
}

func (p page) endpoints(o *corev1.Endpoints) {
	p.meta(o)
	p.line(0, "Subsets:")
	for _, s := range o.Subsets {
		p.line(1, "Addresses:\t%s", orNone(joinAddresses(s.Addresses)))
		p.line(1, "NotReadyAddresses:\t%s", orNone(joinAddresses(s.NotReadyAddresses)))
		if len(s.Ports) > 0 {
			p.line(1, "Ports:")
			p.line(2, "Name\tPort\tProtocol")
			p.line(2, "----\t----\t--------")
			for _, port := range s.Ports {
				name := port.Name
				if name == "" {
					name = "<unset>"
				}
				p.line(2, "%s\t%d\t%s", name, port.Port, port.Protocol)
			}
		}
		p.text("\n")
	}
}

func joinAddresses(list []corev1.EndpointAddress) string {
	var out []string
	for _, a := range list {
		out = append(out, a.IP)
	}
	return strings.Join(out, ",")
}
