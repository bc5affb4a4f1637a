package custom

import (
	"context"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/projections"
)

// validateDefinition holds a defaulted definition to Kubernetes' rules. old is what
// it was before, with its status; nil for a new one.
func validateDefinition(next, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	n, err := internal(next)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), next.Name, err.Error())}
	}
	n.Status = apiextensions.CustomResourceDefinitionStatus{StoredVersions: []string{projections.StorageVersion(next)}}
	if old == nil {
		return validation.ValidateCustomResourceDefinition(context.Background(), n)
	}
	o, err := internal(old)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), next.Name, err.Error())}
	}
	n.Status.StoredVersions = stored(old.Status.StoredVersions, projections.StorageVersion(next))
	n.ObjectMeta.ResourceVersion = "1" // what else an update has to say is for its door to ask
	o.ObjectMeta.ResourceVersion = "1"
	n.ObjectMeta.Generation = o.ObjectMeta.Generation
	n.ObjectMeta.UID, n.ObjectMeta.CreationTimestamp = o.ObjectMeta.UID, o.ObjectMeta.CreationTimestamp
	n.ObjectMeta.DeletionTimestamp, n.ObjectMeta.DeletionGracePeriodSeconds = o.ObjectMeta.DeletionTimestamp, o.ObjectMeta.DeletionGracePeriodSeconds
	return validation.ValidateCustomResourceDefinitionUpdate(context.Background(), n, o)
}

// stored are the versions in which objects were ever kept, with one more.
func stored(before []string, version string) []string {
	if slices.Contains(before, version) {
		return before
	}
	return append(slices.Clone(before), version)
}

func internal(d *apiextensionsv1.CustomResourceDefinition) (*apiextensions.CustomResourceDefinition, error) {
	d = d.DeepCopy()
	d.ManagedFields = nil
	out := &apiextensions.CustomResourceDefinition{}
	return out, apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(d, out, nil)
}
