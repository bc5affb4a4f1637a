package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/stave-run/stave/events"
)

// everyField may be selected on for every resource; podFields and nodeFields
// beside it, as in Kubernetes.
var (
	everyField = []string{"metadata.name", "metadata.namespace"}
	podFields  = []string{"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"}
	nodeFields = []string{"spec.unschedulable"}
	nsFields   = []string{"status.phase"}
)

// fieldSelector is a parsed --field-selector.
type fieldSelector struct{ fields.Selector }

func parseFields(r events.Resource, s string) (fieldSelector, error) {
	sel, err := fields.ParseSelector(s)
	if err != nil {
		return fieldSelector{}, fmt.Errorf("unable to parse field selector: %w", err)
	}
	known := slices.Concat(everyField, map[events.Resource][]string{events.Pods: podFields, events.Nodes: nodeFields, events.Namespaces: nsFields}[r])
	for _, q := range sel.Requirements() {
		if !slices.Contains(known, q.Field) {
			return fieldSelector{}, fmt.Errorf("field label not supported: %s; there are %s", q.Field, strings.Join(known, ", "))
		}
	}
	return fieldSelector{sel}, nil
}

func (f fieldSelector) matches(raw json.RawMessage) (bool, error) {
	if f.Empty() {
		return true, nil
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		return false, fmt.Errorf("decode object: %w", err)
	}
	set := fields.Set{}
	for _, q := range f.Requirements() {
		set[q.Field] = lookUp(v, strings.Split(q.Field, "."))
	}
	return f.Matches(set), nil
}

// lookUp is a field's value as text; a field that is not set is empty.
func lookUp(v any, path []string) string {
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[p]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
