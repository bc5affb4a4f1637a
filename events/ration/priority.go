package ration

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
)

// HighestUserPriority is the largest value that people may give a class: what is
// above is the system's.
const HighestUserPriority = 1000000000

// SystemClasses are the classes that every cluster has, by name.
var SystemClasses = map[string]int32{"system-cluster-critical": 2 * HighestUserPriority, "system-node-critical": 2*HighestUserPriority + 1000}

// Prioritise gives a pod the priority of its class, or of the default one when it
// names none; of no class it stays as it is, with priority 0. It changes the spec
// in place, and says why such a pod must not be, "" when it may.
func Prioritise(spec *corev1.PodSpec, classes []*schedulingv1.PriorityClass) string {
	class := classOf(spec.PriorityClassName, classes)
	var value int32
	policy := corev1.PreemptLowerPriority
	switch {
	case class != nil:
		if value = class.Value; class.PreemptionPolicy != nil {
			policy = *class.PreemptionPolicy
		}
	case spec.PriorityClassName != "":
		return "no PriorityClass with name " + spec.PriorityClassName + " was found"
	}
	if p := spec.Priority; p != nil && *p != value {
		return fmt.Sprintf("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *p, value)
	}
	if p := spec.PreemptionPolicy; p != nil && *p != policy {
		return fmt.Sprintf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *p, policy)
	}
	if class != nil {
		spec.PriorityClassName, spec.Priority, spec.PreemptionPolicy = class.Name, &value, &policy
	}
	return ""
}

func classOf(name string, classes []*schedulingv1.PriorityClass) *schedulingv1.PriorityClass {
	for _, c := range classes {
		if name == c.Name || name == "" && c.GlobalDefault {
			return c
		}
	}
	return nil
}
