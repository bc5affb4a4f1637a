package policy

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

var (
	errNoParams      = errors.New("no params found for policy binding with `Deny` parameterNotFoundAction")
	errParamsNowhere = errors.New("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
	errParamsPlaced  = errors.New("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
)

// paramsOf are the objects that a binding gives its policy, one run for each; a
// nil one for a policy that takes none.
func paramsOf(v projections.State, kind *admissionv1.ParamKind, ref *admissionv1.ParamRef, namespace string) ([]runtime.Object, error) {
	if kind == nil || ref == nil {
		return []runtime.Object{nil}, nil
	}
	k, ok := v.Kinds().For(kind.APIVersion, kind.Kind)
	if !ok {
		return nil, fmt.Errorf("failed to find resource referenced by paramKind: '%s, Kind=%s'", kind.APIVersion, kind.Kind)
	}
	switch {
	case !k.Namespaced && ref.Namespace != "":
		return nil, errParamsPlaced
	case !k.Namespaced:
		namespace = ""
	case ref.Namespace != "":
		namespace = ref.Namespace
	case namespace == "":
		return nil, errParamsNowhere
	}
	found, err := paramsIn(v, k, ref, namespace)
	if err == nil && len(found) == 0 && ref.ParameterNotFoundAction != nil && *ref.ParameterNotFoundAction == admissionv1.DenyAction {
		err = errNoParams
	}
	return found, err
}

func paramsIn(v projections.State, k events.Kind, ref *admissionv1.ParamRef, namespace string) ([]runtime.Object, error) {
	if ref.Name != "" {
		o, ok := v.Get(events.Key{Resource: k.Resource, Namespace: namespace, Name: ref.Name})
		if !ok {
			return nil, nil
		}
		return []runtime.Object{o.Typed()}, nil
	}
	selector, err := selectorOf(ref.Selector)
	if err != nil {
		return nil, err
	}
	var found []runtime.Object
	for o := range v.List(k.Resource, namespace) {
		if typed := o.Typed(); selector.Matches(labels.Set(typed.GetLabels())) {
			found = append(found, typed)
		}
	}
	return found, nil
}
