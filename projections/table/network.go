package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// networkPrinters are those of the kinds that say how requests come in.
var networkPrinters = map[events.Resource]printer{
	events.Ingresses:      {cols("NAME CLASS HOSTS ADDRESS PORTS AGE"), rowOf(ingressRow)},
	events.IngressClasses: {cols("NAME CONTROLLER PARAMETERS AGE"), rowOf(ingressClassRow)},
	events.NetworkPolicies: {cols("NAME POD-SELECTOR AGE"), rowOf(func(o *networkingv1.NetworkPolicy, age string, _ time.Time) []string {
		return []string{o.Name, metav1.FormatLabelSelector(&o.Spec.PodSelector), age}
	})},
	events.ServiceRanges: {cols("NAME CIDRS AGE"), rowOf(func(o *networkingv1.ServiceCIDR, age string, _ time.Time) []string {
		return []string{o.Name, strings.Join(o.Spec.CIDRs, ","), age}
	})},
	events.Addresses: {cols("NAME PARENTREF AGE"), rowOf(func(o *networkingv1.IPAddress, age string, _ time.Time) []string {
		return []string{o.Name, parentOf(o), age}
	})},
	events.FlowSchemas:    {cols("NAME PRIORITYLEVEL MATCHINGPRECEDENCE DISTINGUISHERMETHOD AGE MISSINGPL"), rowOf(flowRow)},
	events.PriorityLevels: {cols("NAME TYPE NOMINALCONCURRENCYSHARES QUEUES HANDSIZE QUEUELENGTHLIMIT AGE"), rowOf(levelRow)},
}

func ingressRow(o *networkingv1.Ingress, age string, _ time.Time) []string {
	ports := "80"
	if len(o.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	return []string{o.Name, pointedOr(o.Spec.IngressClassName), ingressHosts(o), ingressPlaces(o), ports, age}
}

func pointedOr(s *string) string {
	if s == nil {
		return none
	}
	return *s
}

// ingressHosts are the first three hosts, as kubectl tells them.
func ingressHosts(o *networkingv1.Ingress) string {
	const shown = 3
	var hosts []string
	more := false
	for _, r := range o.Spec.Rules {
		more = more || len(hosts) == shown
		if !more && r.Host != "" {
			hosts = append(hosts, r.Host)
		}
	}
	switch {
	case len(hosts) == 0:
		return "*"
	case more:
		return fmt.Sprintf("%s + %d more...", strings.Join(hosts, ","), len(o.Spec.Rules)-shown)
	}
	return strings.Join(hosts, ",")
}

func ingressPlaces(o *networkingv1.Ingress) string {
	var out []string
	for _, l := range o.Status.LoadBalancer.Ingress {
		if l.IP != "" {
			out = append(out, l.IP)
		} else if l.Hostname != "" {
			out = append(out, l.Hostname)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ",")
}

func ingressClassRow(o *networkingv1.IngressClass, age string, _ time.Time) []string {
	name, parameters := o.Name, none
	if o.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
		name += " (default)"
	}
	if p := o.Spec.Parameters; p != nil {
		parameters = p.Kind
		if p.APIGroup != nil {
			parameters += "." + *p.APIGroup
		}
		parameters += "/" + p.Name
	}
	return []string{name, o.Spec.Controller, parameters, age}
}

func parentOf(o *networkingv1.IPAddress) string {
	r := o.Spec.ParentRef
	if r == nil {
		return none
	}
	out := strings.ToLower(schema.GroupResource{Group: r.Group, Resource: r.Resource}.String())
	if r.Namespace != "" {
		out += "/" + r.Namespace
	}
	return out + "/" + r.Name
}

func flowRow(o *flowcontrolv1.FlowSchema, age string, _ time.Time) []string {
	by, missing := none, "?"
	if m := o.Spec.DistinguisherMethod; m != nil {
		by = string(m.Type)
	}
	for _, c := range o.Status.Conditions {
		if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
			missing = string(c.Status)
		}
	}
	return []string{o.Name, o.Spec.PriorityLevelConfiguration.Name, fmt.Sprint(o.Spec.MatchingPrecedence), by, age, missing}
}

func levelRow(o *flowcontrolv1.PriorityLevelConfiguration, age string, _ time.Time) []string {
	row := []string{o.Name, string(o.Spec.Type), none, none, none, none, age}
	l := o.Spec.Limited
	if l == nil {
		return row
	}
	if l.NominalConcurrencyShares != nil {
		row[2] = fmt.Sprint(*l.NominalConcurrencyShares)
	}
	if q := l.LimitResponse.Queuing; q != nil {
		row[3], row[4], row[5] = fmt.Sprint(q.Queues), fmt.Sprint(q.HandSize), fmt.Sprint(q.QueueLengthLimit)
	}
	return row
}

// ways tells of the kinds that say how requests come in; false: it is none of them.
func (p page) ways(s projections.State, o events.Object) bool {
	switch o := o.(type) {
	case *networkingv1.Ingress:
		p.ingress(s, o)
	case *networkingv1.IngressClass:
		p.ingressClass(o)
	default:
		return false
	}
	return true
}

func (p page) ingress(s projections.State, o *networkingv1.Ingress) {
	def := "<default>"
	if o.Spec.DefaultBackend != nil {
		def = backendText(s, o.Namespace, o.Spec.DefaultBackend)
	}
	p.line(0, "Name:\t%s", o.Name)
	p.labels("Labels", o.Labels)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.line(0, "Address:\t%s", ingressPlaces(o))
	p.line(0, "Ingress Class:\t%s", pointedOr(o.Spec.IngressClassName))
	p.line(0, "Default backend:\t%s", def)
	if len(o.Spec.TLS) > 0 {
		p.line(0, "TLS:")
	}
	for _, t := range o.Spec.TLS {
		if t.SecretName == "" {
			p.line(1, "SNI routes %s", strings.Join(t.Hosts, ","))
		} else {
			p.line(1, "%s terminates %s", t.SecretName, strings.Join(t.Hosts, ","))
		}
	}
	p.line(0, "Rules:")
	p.line(1, "Host\tPath\tBackends")
	p.line(1, "----\t----\t--------")
	told := false
	for _, r := range o.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		told = true
		host := r.Host
		if host == "" {
			host = "*"
		}
		p.line(1, "%s\t", host)
		for i := range r.HTTP.Paths {
			p.line(2, "\t%s \t%s", r.HTTP.Paths[i].Path, backendText(s, o.Namespace, &r.HTTP.Paths[i].Backend))
		}
	}
	if !told {
		p.line(1, "*\t*\t%s", def)
	}
	p.labels("Annotations", o.Annotations)
}

// backendText is where requests go, with who answers there now.
func backendText(s projections.State, namespace string, b *networkingv1.IngressBackend) string {
	if r := b.Resource; r != nil {
		return fmt.Sprintf("APIGroup: %s, Kind: %s, Name: %s", pointedOr(r.APIGroup), r.Kind, r.Name)
	}
	if b.Service == nil {
		return ""
	}
	text := fmt.Sprintf("%s:%d", b.Service.Name, b.Service.Port.Number)
	if b.Service.Port.Name != "" {
		text = b.Service.Name + ":" + b.Service.Port.Name
	}
	k := events.Key{Resource: events.Services, Namespace: namespace, Name: b.Service.Name}
	if _, ok := s.Get(k); !ok {
		return fmt.Sprintf("%s (<error: services %q not found>)", text, b.Service.Name)
	}
	row, _ := projections.NetRow(s, k)
	for _, port := range row.Ports {
		if port.Name == b.Service.Port.Name && port.Name != "" || port.Port == b.Service.Port.Number {
			return fmt.Sprintf("%s (%s)", text, shortList(port.Endpoints, " + %d more..."))
		}
	}
	return text + " (<none>)"
}

func (p page) ingressClass(o *networkingv1.IngressClass) {
	p.line(0, "Name:\t%s", o.Name)
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	p.line(0, "Controller:\t%s", o.Spec.Controller)
	if r := o.Spec.Parameters; r != nil {
		p.line(0, "Parameters:")
		if r.APIGroup != nil {
			p.line(1, "APIGroup:\t%s", *r.APIGroup)
		}
		p.line(1, "Kind:\t%s", r.Kind)
		p.line(1, "Name:\t%s", r.Name)
	}
}
