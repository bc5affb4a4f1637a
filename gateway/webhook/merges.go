package webhook

import (
	"bytes"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/custom"
	kubeschema "github.com/stave-run/stave/gateway/kube/schema"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/projections"
)

// merges say how objects merge when a policy applies a configuration to one. Those of
// our kinds are read by the first that asks, which takes some milliseconds.
type merges struct {
	schemas *custom.Schemas
	ours    func() (managedfields.TypeConverter, error)
	custom  *customTypes
}

// customTypes are those of definitions, an edition each.
type customTypes struct {
	mu   sync.Mutex
	kept map[events.UID]customType
}

type customType struct {
	raw []byte
	managedfields.TypeConverter
}

func newMerges(schemas *custom.Schemas) merges {
	return merges{schemas, sync.OnceValues(func() (managedfields.TypeConverter, error) { return kubeschema.Merge(policy.Scheme()) }), &customTypes{}}
}

// of implements policy.Types.
func (t merges) of(v projections.State, gvk schema.GroupVersionKind) (managedfields.TypeConverter, error) {
	ours, err := t.ours()
	if err != nil {
		return nil, err
	}
	kind, ok := v.Kinds().For(gvk.GroupVersion().String(), gvk.Kind)
	if !ok || !kind.Custom() {
		return ours, nil
	}
	row, ok := v.Definition(kind.Resource)
	if !ok || t.schemas == nil {
		return nil, fmt.Errorf("nothing defines %s", gvk)
	}
	t.custom.mu.Lock()
	defer t.custom.mu.Unlock()
	if found, ok := t.custom.kept[row.UID]; ok && bytes.Equal(found.raw, row.Raw) {
		return found, nil
	}
	made, err := t.read(v, row, ours)
	if err != nil {
		return nil, err
	}
	if t.custom.kept == nil || len(t.custom.kept) >= maxCompiled {
		t.custom.kept = map[events.UID]customType{}
	}
	t.custom.kept[row.UID] = customType{row.Raw, made}
	return made, nil
}

// read reads the schemas of a definition.
func (t merges) read(v projections.State, row *projections.Object, ours managedfields.TypeConverter) (managedfields.TypeConverter, error) {
	d, err := t.schemas.Of(row)
	if err != nil {
		return nil, err
	}
	var kinds []events.Kind
	for _, k := range v.Kinds().Custom() {
		if events.DefinitionKey(k.Resource) == row.Key {
			kinds = append(kinds, k)
		}
	}
	models, err := kubeschema.Models(policy.Scheme(), kinds, ours, func(k events.Kind) *kubeschema.Shape {
		if version, ok := d.Versions[k.Version]; ok {
			return &kubeschema.Shape{Schema: version.Schema.ToKubeOpenAPI(), ListKind: d.Spec.Names.ListKind}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	made, err := managedfields.NewTypeConverter(models, false)
	if err != nil {
		return nil, fmt.Errorf("read schemas of %s: %w", row.Key.Name, err)
	}
	return made, nil
}
