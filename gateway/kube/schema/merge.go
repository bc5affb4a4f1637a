package schema

import (
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

//go:generate go run ./gen -o merge.yaml.gz

// mergeSchema says how the lists and maps of our kinds merge: what client-go's
// apply configurations hold, without the kinds that are not ours. That package
// itself would bring all types of Kubernetes into the binary, and register them
// at each start of it. It is YAML, in a thirteenth of its size.
//
//go:embed merge.yaml.gz
var mergeSchema string

// MergeSource is the merge schema as YAML.
func MergeSource() ([]byte, error) {
	r, err := gzip.NewReader(strings.NewReader(mergeSchema))
	if err != nil {
		return nil, fmt.Errorf("read merge schema: %w", err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read merge schema: %w", err)
	}
	return raw, nil
}

// Merge is the merge schema of the types in scheme. It is parsed at each call,
// which takes some milliseconds.
func Merge(scheme *runtime.Scheme) (managedfields.TypeConverter, error) {
	source, err := MergeSource()
	if err != nil {
		return nil, err
	}
	parser, err := typed.NewParser(typed.YAMLObject(source))
	if err != nil {
		return nil, fmt.Errorf("read merge schema: %w", err)
	}
	return managedfields.NewSchemeTypeConverter(scheme, parser), nil
}
