package projections

import corev1 "k8s.io/api/core/v1"

// showResources says of each container that began what its node set aside for it, and what it has. One that does not run has
// what it will begin with.
func (p *Pod) showResources(v *corev1.Pod) {
	allotted, given := p.AllottedSpec(&v.Spec), p.givenSpec(&v.Spec)
	show := func(statuses []corev1.ContainerStatus, allotted, given []corev1.Container) {
		for i := range statuses {
			st := &statuses[i]
			if c, ok := p.Container(st.Name); !ok || c.Run == 0 {
				continue
			}
			has := &given[i]
			if st.State.Running == nil {
				has = &allotted[i]
			}
			st.AllocatedResources, st.Resources = allotted[i].Resources.Requests, &has.Resources
		}
	}
	show(v.Status.InitContainerStatuses, allotted.InitContainers, given.InitContainers)
	show(v.Status.ContainerStatuses, allotted.Containers, given.Containers)
}

// conditions are those of a wish for other resources that is not granted, and of a grant that is not done.
func (r *Resize) conditions() []corev1.PodCondition {
	var out []corev1.PodCondition
	if r.Waits() && r.Refused != "" {
		c := condition(corev1.PodResizePending, true, r.Told.Time, string(r.Refused), r.Said)
		c.ObservedGeneration = r.Generation
		out = append(out, c)
	}
	if r != nil && r.Given != nil {
		c := condition(corev1.PodResizeInProgress, true, r.GrantedAt.Time, "", "")
		if c.ObservedGeneration = r.Granted; r.Failed != "" {
			c.Reason, c.Message, c.LastTransitionTime = corev1.PodReasonError, r.Failed, stamp(r.FailedAt.Time)
		}
		out = append(out, c)
	}
	return out
}
