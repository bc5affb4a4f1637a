package custom

import (
	"context"
	"fmt"
	"math"
	"strings"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
)

// versionOf is the version that an object is in.
func (d *Definition) versionOf(o *unstructured.Unstructured) (*Version, error) {
	name := o.GroupVersionKind().Version
	v, ok := d.Versions[name]
	if !ok {
		return nil, fmt.Errorf("%s has no version %q", d.Spec.Names.Kind, name)
	}
	return v, nil
}

// Shape makes an object what its version's schema allows: what the schema does not
// know is taken out, nulls that mean nothing too, and defaults are filled in. It
// says which fields were unknown. It fails when the object's metadata is none.
func (d *Definition) Shape(o *unstructured.Unstructured) (unknown []string, err error) {
	v, err := d.versionOf(o)
	if err != nil {
		return nil, err
	}
	kind, version := o.GetKind(), o.GetAPIVersion()
	meta, has, unknown, err := objectmeta.GetObjectMetaWithOptions(o.Object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	unknown = append(unknown, pruning.PruneWithOptions(o.Object, v.Schema, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	defaulting.PruneNonNullableNullsWithoutDefaults(o.Object, v.Schema)
	bad, more := objectmeta.CoerceWithOptions(nil, o.Object, v.Schema, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if bad != nil {
		return nil, bad
	}
	o.SetKind(kind)
	o.SetAPIVersion(version)
	if has {
		if err := objectmeta.SetObjectMeta(o.Object, meta); err != nil {
			return nil, fmt.Errorf("write metadata: %w", err)
		}
	}
	defaulting.Default(o.Object, v.Schema)
	return append(unknown, more...), nil
}

// In is an object in another version of its definition: conversion None changes
// the name of the version, and takes out what that version does not know. The
// object is changed in place. Where a webhook converts, it is ErrUnasked.
func (d *Definition) In(o *unstructured.Unstructured, version string) error {
	if d.strange(o, version) {
		return ErrUnasked
	}
	o.SetAPIVersion(d.Spec.Group + "/" + version)
	_, err := d.Shape(o)
	return err
}

// Validate says what is wrong with a shaped object, as Kubernetes does. old is what
// it was before, in the same version; nil for a new one.
func (d *Definition) Validate(o, old *unstructured.Unstructured) field.ErrorList {
	v, err := d.versionOf(o)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("apiVersion"), o.GetAPIVersion(), err.Error())}
	}
	if old == nil {
		errs := validation.ValidateCustomResource(nil, o.Object, v.whole)
		errs = append(errs, v.scaleErrors(o, false)...)
		errs = append(errs, objectmeta.Validate(context.Background(), nil, o.Object, v.Schema, false)...)
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, v.Schema, o.Object)...)
		return append(errs, v.ruled(errs, o, nil)...)
	}
	same := common.NewCorrelatedObject(o.Object, old.Object, &model.Structural{Structural: v.Schema})
	errs := validation.ValidateCustomResourceUpdate(nil, o.Object, old.Object, v.whole, validation.WithRatcheting(same))
	errs = append(errs, v.scaleErrors(o, false)...)
	errs = append(errs, objectmeta.Validate(context.Background(), nil, o.Object, v.Schema, false)...)
	errs = append(errs, v.listErrors(o, old)...)
	return append(errs, v.ruled(errs, o, old, cel.WithRatcheting(same))...)
}

// ValidateStatus is Validate for a change of the status alone.
func (d *Definition) ValidateStatus(o, old *unstructured.Unstructured) field.ErrorList {
	v, err := d.versionOf(o)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("apiVersion"), o.GetAPIVersion(), err.Error())}
	}
	same := common.NewCorrelatedObject(o.Object, old.Object, &model.Structural{Structural: v.Schema})
	var errs field.ErrorList
	if status, ok := o.Object["status"]; ok && v.status != nil {
		errs = validation.ValidateCustomResourceUpdate(field.NewPath("status"), status, old.Object["status"], v.status, validation.WithRatcheting(same.Key("status")))
	}
	errs = append(errs, v.scaleErrors(o, true)...)
	errs = append(errs, v.listErrors(o, old)...)
	return append(errs, v.ruled(errs, o, old, cel.WithRatcheting(same))...)
}

// listErrors are doubles in lists that are sets or maps, unless they were there before.
func (v *Version) listErrors(o, old *unstructured.Unstructured) field.ErrorList {
	errs := listtype.ValidateListSetsAndMaps(nil, v.Schema, o.Object)
	if len(errs) > 0 && len(listtype.ValidateListSetsAndMaps(nil, v.Schema, old.Object)) > 0 {
		return nil
	}
	return errs
}

// blocking are the errors after which rules are not asked: they could not trust
// what they read.
var blocking = map[field.ErrorType]bool{field.ErrorTypeNotSupported: true, field.ErrorTypeRequired: true, field.ErrorTypeTooLong: true,
	field.ErrorTypeTooMany: true, field.ErrorTypeTypeInvalid: true}

// ruled is what the schema's rules say of an object that has errs so far.
func (v *Version) ruled(errs field.ErrorList, o, old *unstructured.Unstructured, opts ...cel.Option) field.ErrorList {
	if v.rules == nil {
		return nil
	}
	for _, e := range errs {
		if blocking[e.Type] {
			return field.ErrorList{field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation")}
		}
	}
	var before any
	if old != nil {
		before = old.Object
	}
	found, _ := v.rules.Validate(context.Background(), nil, v.Schema, o.Object, before, celconfig.RuntimeCELCostBudget, opts...)
	return found
}

// scaleErrors is what is wrong with the fields that say how many replicas there are.
func (v *Version) scaleErrors(o *unstructured.Unstructured, statusOnly bool) field.ErrorList {
	s := v.Scale()
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	paths := []string{s.SpecReplicasPath, s.StatusReplicasPath}
	if statusOnly {
		paths = paths[1:]
	}
	for _, path := range paths {
		n, _, err := unstructured.NestedInt64(o.Object, steps(path)...)
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(field.NewPath(path), n, err.Error()))
		case n < 0:
			errs = append(errs, field.Invalid(field.NewPath(path), n, "should be a non-negative integer"))
		case n > math.MaxInt32:
			errs = append(errs, field.Invalid(field.NewPath(path), n, fmt.Sprintf("should be less than or equal to %v", math.MaxInt32)))
		}
	}
	if s.LabelSelectorPath != nil {
		if text, _, err := unstructured.NestedString(o.Object, steps(*s.LabelSelectorPath)...); err != nil {
			errs = append(errs, field.Invalid(field.NewPath(*s.LabelSelectorPath), text, err.Error()))
		}
	}
	return errs
}

// steps are the fields of a path like ".spec.replicas".
func steps(path string) []string { return strings.Split(strings.TrimPrefix(path, "."), ".") }
