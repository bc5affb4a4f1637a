package table

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func (p page) deployment(s projections.State, o *appsv1.Deployment) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.line(0, "CreationTimestamp:\t%s", date(o.CreationTimestamp))
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	p.line(0, "Selector:\t%s", selectorText(o.Spec.Selector))
	st := &o.Status
	p.line(0, "Replicas:\t%d desired | %d updated | %d total | %d available | %d unavailable",
		wanted(o.Spec.Replicas), st.UpdatedReplicas, st.Replicas, st.AvailableReplicas, st.UnavailableReplicas)
	p.line(0, "StrategyType:\t%s", o.Spec.Strategy.Type)
	p.line(0, "MinReadySeconds:\t%d", o.Spec.MinReadySeconds)
	if ru := o.Spec.Strategy.RollingUpdate; ru != nil {
		p.line(0, "RollingUpdateStrategy:\t%s max unavailable, %s max surge", ru.MaxUnavailable.String(), ru.MaxSurge.String())
	}
	p.template(&o.Spec.Template)
	if len(st.Conditions) > 0 {
		p.line(0, "Conditions:\n  Type\tStatus\tReason")
		p.line(1, "----\t------\t------")
		for _, c := range st.Conditions {
			p.line(1, "%v \t%v\t%v", c.Type, c.Status, c.Reason)
		}
	}
	p.replicaSets(s, o)
}

// replicaSets lists the present one and those that pods are leaving.
func (p page) replicaSets(s projections.State, o *appsv1.Deployment) {
	row, ok := s.Get(events.Key{Resource: events.Deployments, Namespace: o.Namespace, Name: o.Name})
	if !ok {
		return
	}
	present, has := s.NewReplicaSet(row)
	var old []string
	for rs := range s.Children(row.UID) {
		if rs.Key.Resource == events.ReplicaSets && (!has || rs.Key != present.Key) {
			old = append(old, replicaSetLine(rs))
		}
	}
	p.line(0, "OldReplicaSets:\t%s", orNone(strings.Join(old, ", ")))
	now := none
	if has {
		now = replicaSetLine(present)
	}
	p.line(0, "NewReplicaSet:\t%s", now)
}

func replicaSetLine(rs *projections.Object) string {
	return fmt.Sprintf("%s (%d/%d replicas created)", rs.Key.Name, rs.Tally.Pods, wanted(projections.As[*appsv1.ReplicaSet](rs).Spec.Replicas))
}

// replicaSet is a page of a ReplicaSet or ReplicationController.
func (p page) replicaSet(s projections.State, o events.Object, selector string, has int32, wants *int32, t *corev1.PodTemplateSpec) {
	p.line(0, "Name:\t%s", o.GetName())
	p.line(0, "Namespace:\t%s", o.GetNamespace())
	p.line(0, "Selector:\t%s", selector)
	p.labels("Labels", o.GetLabels())
	p.labels("Annotations", o.GetAnnotations())
	controlledBy(p, o)
	p.line(0, "Replicas:\t%d current / %d desired", has, wanted(wants))
	p.podsStatus(s, events.UID(o.GetUID()))
	if t != nil {
		p.template(t)
	}
}

// podsStatus counts what an object controls by phase.
func (p page) podsStatus(s projections.State, owner events.UID) {
	count := map[corev1.PodPhase]int{}
	for child := range s.Children(owner) {
		if pod, ok := s.Object(child.Key, p.now); ok && child.Key.Resource == events.Pods {
			count[pod.(*corev1.Pod).Status.Phase]++
		}
	}
	p.line(0, "Pods Status:\t%d Running / %d Waiting / %d Succeeded / %d Failed", count[corev1.PodRunning], count[corev1.PodPending],
		count[corev1.PodSucceeded], count[corev1.PodFailed])
}

func (p page) template(t *corev1.PodTemplateSpec) {
	p.line(0, "Pod Template:")
	p.nested("  Labels:", t.Labels, "=")
	if len(t.Annotations) > 0 {
		p.nested("  Annotations:", t.Annotations, ": ")
	}
	if t.Spec.ServiceAccountName != "" {
		p.line(0, "  Service Account:\t%s", t.Spec.ServiceAccountName)
	}
	p.templateContainers("Init Containers", t.Spec.InitContainers)
	p.templateContainers("Containers", t.Spec.Containers)
	p.volumes("  ", t.Spec.Volumes)
	p.spread("  ", t.Spec.TopologySpreadConstraints)
	if t.Spec.PriorityClassName != "" {
		p.line(0, "  Priority Class Name:\t%s", t.Spec.PriorityClassName)
	}
	p.pairs("  Node-Selectors:", t.Spec.NodeSelector)
	title := "  Tolerations:"
	if len(t.Spec.Tolerations) == 0 {
		p.line(0, "%s\t%s", title, none)
	}
	for _, x := range t.Spec.Tolerations {
		p.line(0, "%s\t%s", title, toleration(x))
		title = "  "
	}
}

func (p page) templateContainers(title string, list []corev1.Container) {
	if len(list) > 0 {
		p.line(0, "  %s:", title)
	}
	for i := range list {
		p.line(1, " %s:", list[i].Name)
		p.templateContainer(&list[i])
	}
}

// spread are a pod's constraints, or, moved to the right by in, a template's; in order of what they spread over.
func (p page) spread(in string, list []corev1.TopologySpreadConstraint) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b corev1.TopologySpreadConstraint) int { return strings.Compare(a.TopologyKey, b.TopologyKey) })
	title := in + "Topology Spread Constraints:"
	for _, c := range list {
		text := fmt.Sprintf("%s:%s when max skew %d is exceeded", c.TopologyKey, c.WhenUnsatisfiable, c.MaxSkew)
		if c.LabelSelector != nil {
			text += " for selector " + metav1.FormatLabelSelector(c.LabelSelector)
		}
		p.line(0, "%s\t%s", title, text)
		title = in
	}
}

func (p page) nested(title string, m map[string]string, between string) {
	keys := sortedKeys(m)
	if len(keys) == 0 {
		p.line(0, "%s\t%s", title, none)
	}
	for i, k := range keys {
		if i > 0 {
			title = " "
		}
		p.line(0, "%s\t%s%s%s", title, k, between, m[k])
	}
}

func (p page) templateContainer(c *corev1.Container) {
	p.line(2, "Image:\t%s", c.Image)
	p.ports(c.Ports)
	p.words("Command:", c.Command)
	p.words("Args:", c.Args)
	p.resources("Limits", c.Resources.Limits)
	p.resources("Requests", c.Resources.Requests)
	p.probes(c)
	p.environment(c)
	p.mounts(c.VolumeMounts)
}
