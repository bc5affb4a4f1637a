package table

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func (p page) statefulSet(s projections.State, o *appsv1.StatefulSet) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.line(0, "CreationTimestamp:\t%s", date(o.CreationTimestamp))
	p.line(0, "Selector:\t%s", selectorText(o.Spec.Selector))
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	if o.Spec.ServiceName != "" {
		p.line(0, "Service Name:\t%s", o.Spec.ServiceName)
	}
	p.line(0, "Pod Management Policy:\t%s", o.Spec.PodManagementPolicy)
	p.line(0, "Replicas:\t%d desired | %d total", wanted(o.Spec.Replicas), o.Status.Replicas)
	p.line(0, "Update Strategy:\t%s", o.Spec.UpdateStrategy.Type)
	if r := o.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		p.line(1, "Partition:\t%d", *r.Partition)
		if r.MaxUnavailable != nil {
			p.line(1, "MaxUnavailable:\t%s", r.MaxUnavailable.String())
		}
	}
	if r := o.Spec.PersistentVolumeClaimRetentionPolicy; r != nil {
		p.line(0, "Persistent Volume Claim Retention Policy:")
		p.line(1, "WhenDeleted:\t%s", r.WhenDeleted)
		p.line(1, "WhenScaled:\t%s", r.WhenScaled)
	}
	p.podsStatus(s, events.UID(o.UID))
	p.template(&o.Spec.Template)
	p.claimTemplates(o.Spec.VolumeClaimTemplates)
}

func (p page) claimTemplates(templates []corev1.PersistentVolumeClaim) {
	if len(templates) == 0 {
		p.line(0, "Volume Claims:\t%s", none)
		return
	}
	p.line(0, "Volume Claims:")
	for i := range templates {
		c := &templates[i]
		p.line(1, "Name:\t%s", c.Name)
		class, size := "", "<default>"
		if c.Spec.StorageClassName != nil {
			class = *c.Spec.StorageClassName
		}
		if q, ok := c.Spec.Resources.Requests[corev1.ResourceStorage]; ok {
			size = q.String()
		}
		p.line(1, "StorageClass:\t%s", class)
		p.nested("  Labels:", c.Labels, "=")
		p.nested("  Annotations:", c.Annotations, ": ")
		p.line(1, "Capacity:\t%s", size)
		p.line(1, "Access Modes:\t%v", c.Spec.AccessModes)
	}
}
