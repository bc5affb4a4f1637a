package table

import (
	"fmt"
	"strings"
	"time"

	storagev1 "k8s.io/api/storage/v1"
)

var (
	driverColumns     = cols("NAME ATTACHREQUIRED PODINFOONMOUNT STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH MODES AGE")
	attachmentColumns = cols("NAME ATTACHER PV NODE ATTACHED AGE")
)

func driverRow(o *storagev1.CSIDriver, age string, _ time.Time) []string {
	is := func(b *bool) string { return fmt.Sprint(b != nil && *b) }
	var modes, audiences []string
	for _, m := range o.Spec.VolumeLifecycleModes {
		modes = append(modes, string(m))
	}
	tokens := unset
	if o.Spec.TokenRequests != nil {
		for _, t := range o.Spec.TokenRequests {
			audiences = append(audiences, t.Audience)
		}
		tokens = strings.Join(audiences, ",")
	}
	return []string{o.Name, is(o.Spec.AttachRequired), is(o.Spec.PodInfoOnMount), is(o.Spec.StorageCapacity), tokens, is(o.Spec.RequiresRepublish),
		orNone(strings.Join(modes, ",")), age}
}

func csiNodeRow(o *storagev1.CSINode, age string, _ time.Time) []string {
	return []string{o.Name, fmt.Sprint(len(o.Spec.Drivers)), age}
}

func capacityRow(o *storagev1.CSIStorageCapacity, _ string, _ time.Time) []string {
	size := unset
	if o.Capacity != nil {
		size = o.Capacity.String()
	}
	return []string{o.Name, o.StorageClassName, size}
}

func attachmentRow(o *storagev1.VolumeAttachment, age string, _ time.Time) []string {
	name := ""
	if p := o.Spec.Source.PersistentVolumeName; p != nil {
		name = *p
	}
	return []string{o.Name, o.Spec.Attacher, name, o.Spec.NodeName, fmt.Sprint(o.Status.Attached), age}
}

func attributesRow(o *storagev1.VolumeAttributesClass, age string, _ time.Time) []string {
	return []string{o.Name, o.DriverName, age}
}
