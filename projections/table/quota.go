package table

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// quotaRow parts what is limited by request from what is limited by limit.
func quotaRow(o *corev1.ResourceQuota, age string, _ time.Time) []string {
	var requests, limits []string
	for _, name := range resources(o.Status.Hard) {
		used, hard := o.Status.Used[name], o.Status.Hard[name]
		cell := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
		if strings.HasPrefix(string(name), "limits.") {
			limits = append(limits, cell)
			continue
		}
		requests = append(requests, cell)
	}
	return []string{o.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), age}
}

func resources(lists ...corev1.ResourceList) []corev1.ResourceName {
	var names []corev1.ResourceName
	for _, list := range lists {
		for name := range list { //stave:sorted right below
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// scopeHelp is what kubectl says of a quota's scopes.
var scopeHelp = map[corev1.ResourceQuotaScope]string{
	corev1.ResourceQuotaScopeTerminating:    "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system.",
	corev1.ResourceQuotaScopeNotTerminating: "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate.",
	corev1.ResourceQuotaScopeBestEffort:     "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.",
	corev1.ResourceQuotaScopeNotBestEffort:  "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service.",
}

func (p page) quota(o *corev1.ResourceQuota) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.scopes(o, 0)
	p.line(0, "Resource\tUsed\tHard")
	p.line(0, "--------\t----\t----")
	p.used(o, 0)
}

func (p page) scopes(o *corev1.ResourceQuota, level int) {
	if len(o.Spec.Scopes) == 0 {
		return
	}
	scopes := make([]string, len(o.Spec.Scopes))
	for i, scope := range o.Spec.Scopes {
		scopes[i] = string(scope)
	}
	slices.Sort(scopes)
	p.line(level, "Scopes:\t%s", strings.Join(scopes, ", "))
	for _, scope := range scopes {
		if help := scopeHelp[corev1.ResourceQuotaScope(scope)]; help != "" {
			p.line(level, " * %s", help)
		}
	}
}

func (p page) used(o *corev1.ResourceQuota, level int) {
	for _, name := range resources(o.Status.Hard) {
		used, hard := o.Status.Used[name], o.Status.Hard[name]
		p.line(level, "%s\t%s\t%s", name, used.String(), hard.String())
	}
}

// limitsHead is the head of a table of limits.
const limitsHead = "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio\n"

// limitsLine is the line below it.
const limitsLine = "----\t--------\t---\t---\t---------------\t-------------\t-----------------------\n"

func (p page) limitRange(o *corev1.LimitRange) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.text(limitsHead + limitsLine)
	p.limits(o, "")
}

func (p page) limits(o *corev1.LimitRange, indent string) {
	for _, item := range o.Spec.Limits {
		for _, name := range resources(item.Min, item.Max, item.DefaultRequest, item.Default, item.MaxLimitRequestRatio) {
			cells := []string{indent + string(item.Type), string(name)}
			for _, list := range []corev1.ResourceList{item.Min, item.Max, item.DefaultRequest, item.Default, item.MaxLimitRequestRatio} {
				cell := "-"
				if n, ok := list[name]; ok {
					cell = n.String()
				}
				cells = append(cells, cell)
			}
			p.text(strings.Join(cells, "\t") + "\n")
		}
	}
}

// preempts is what a class does that does not say.
var preempts = corev1.PreemptLowerPriority

func (p page) class(o *schedulingv1.PriorityClass) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Value:\t%d", o.Value)
	p.line(0, "GlobalDefault:\t%v", o.GlobalDefault)
	p.line(0, "PreemptionPolicy:\t%s", *cmp.Or(o.PreemptionPolicy, &preempts))
	p.line(0, "Description:\t%s", o.Description)
	p.labels("Annotations", o.Annotations)
}

// rations are the quotas and limits of a namespace.
func (p page) rations(s projections.State, namespace string, now time.Time) {
	head := "\nResource Quotas\n"
	for o := range s.List(events.Quotas, namespace) {
		q, ok := s.ObjectOf(o, now).(*corev1.ResourceQuota)
		if !ok {
			continue
		}
		p.text(head)
		head = ""
		p.line(1, "Name:\t%s", q.Name)
		p.scopes(q, 1)
		p.line(1, "Resource\tUsed\tHard")
		p.line(1, "--------\t---\t---")
		p.used(q, 1)
	}
	if head != "" {
		p.text("\nNo resource quota.\n")
	}
	ranges := s.LimitRanges(namespace)
	if len(ranges) == 0 {
		p.text("\nNo LimitRange resource.\n")
		return
	}
	p.text("\nResource Limits\n " + limitsHead + " " + limitsLine)
	for _, r := range ranges {
		p.limits(r, " ")
	}
}
