package schema

import (
	_ "embed"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

//go:generate go run ./gen -o merge.yaml

// mergeSchema says how the lists and maps of our kinds merge: what client-go's
// apply configurations hold, without the kinds that are not ours. That package
// itself would bring all types of Kubernetes into the binary, and register them
// at each start of it.
//
//go:embed merge.yaml
var mergeSchema string

// Merge is the merge schema of the types in scheme. It is parsed at each call,
// which takes some milliseconds.
func Merge(scheme *runtime.Scheme) (managedfields.TypeConverter, error) {
	parser, err := typed.NewParser(typed.YAMLObject(mergeSchema))
	if err != nil {
		return nil, fmt.Errorf("read merge schema: %w", err)
	}
	return managedfields.NewSchemeTypeConverter(scheme, parser), nil
}
