package manifest

import (
	resourcev1 "k8s.io/api/resource/v1"

	"github.com/stave-run/stave/events"
)

// defaultDevices fills in the kinds by which devices are asked for. Since when a taint holds is no default: admission says it.
func defaultDevices(o events.Object) {
	switch o := o.(type) {
	case *resourcev1.ResourceClaim:
		defaultRequests(o.Spec.Devices.Requests)
	case *resourcev1.ResourceClaimTemplate:
		defaultRequests(o.Spec.Spec.Devices.Requests)
	}
}

func defaultRequests(all []resourcev1.DeviceRequest) {
	for i := range all {
		if x := all[i].Exactly; x != nil {
			defaultCount(&x.AllocationMode, &x.Count)
		}
		for j := range all[i].FirstAvailable {
			x := &all[i].FirstAvailable[j]
			defaultCount(&x.AllocationMode, &x.Count)
		}
	}
}

func defaultCount(mode *resourcev1.DeviceAllocationMode, count *int64) {
	if setTo(mode, resourcev1.DeviceAllocationModeExactCount); *mode == resourcev1.DeviceAllocationModeExactCount {
		setTo(count, 1)
	}
}
