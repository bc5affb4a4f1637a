package table

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// daemonColumns are kubectl's.
var daemonColumns = []Column{{Name: "NAME"}, {Name: "DESIRED"}, {Name: "CURRENT"}, {Name: "READY"}, {Name: "UP-TO-DATE"}, {Name: "AVAILABLE"}, {Name: "NODE SELECTOR"},
	{Name: "AGE"}, {Name: "CONTAINERS", Wide: true}, {Name: "IMAGES", Wide: true}, {Name: "SELECTOR", Wide: true}}

func daemonRow(o *appsv1.DaemonSet, age string, _ time.Time) []string {
	names, images := containers(&o.Spec.Template.Spec)
	st := &o.Status
	return []string{o.Name, fmt.Sprint(st.DesiredNumberScheduled), fmt.Sprint(st.CurrentNumberScheduled), fmt.Sprint(st.NumberReady),
		fmt.Sprint(st.UpdatedNumberScheduled), fmt.Sprint(st.NumberAvailable), labelText(o.Spec.Template.Spec.NodeSelector), age, names, images, selectorText(o.Spec.Selector)}
}

func (p page) daemonSet(s projections.State, o *appsv1.DaemonSet) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.line(0, "Selector:\t%s", selectorText(o.Spec.Selector))
	p.line(0, "Node-Selector:\t%s", labelText(o.Spec.Template.Spec.NodeSelector))
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	st := &o.Status
	p.line(0, "Desired Number of Nodes Scheduled: %d", st.DesiredNumberScheduled)
	p.line(0, "Current Number of Nodes Scheduled: %d", st.CurrentNumberScheduled)
	p.line(0, "Number of Nodes Scheduled with Up-to-date Pods: %d", st.UpdatedNumberScheduled)
	p.line(0, "Number of Nodes Scheduled with Available Pods: %d", st.NumberAvailable)
	p.line(0, "Number of Nodes Misscheduled: %d", st.NumberMisscheduled)
	p.podsStatus(s, events.UID(o.UID))
	p.template(&o.Spec.Template)
}
