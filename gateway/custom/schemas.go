package custom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
)

// maxKept bounds how many definitions are kept compiled; a cluster with more
// compiles some anew.
const maxKept = 1024

var _ admit.Rules = &Schemas{}

// Schemas keeps definitions compiled. The zero one is ready; any number may ask
// it at a time.
type Schemas struct {
	mu   sync.Mutex
	kept map[events.UID]*kept
}

// kept is one edition of a definition.
type kept struct {
	raw  json.RawMessage // as it was compiled: what is only tried has uids and generations that come again
	once sync.Once
	made *Definition
	err  error
}

// Of is a definition, compiled. It fails when its schemas cannot be, which
// admission keeps out.
func (s *Schemas) Of(row *projections.Object) (*Definition, error) {
	s.mu.Lock()
	k, ok := s.kept[row.UID]
	if !ok || !bytes.Equal(k.raw, row.Raw) {
		if s.kept == nil || len(s.kept) >= maxKept {
			s.kept = map[events.UID]*kept{}
		}
		k = &kept{raw: row.Raw}
		s.kept[row.UID] = k
	}
	s.mu.Unlock()
	k.once.Do(func() { k.made, k.err = compile(projections.As[*apiextensionsv1.CustomResourceDefinition](row)) })
	return k.made, k.err
}

// Definition implements admit.Rules.
func (s *Schemas) Definition(next, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	return validateDefinition(next, old)
}

// Objects implements admit.Rules.
func (s *Schemas) Objects(row *projections.Object) (admit.ObjectRules, error) {
	d, err := s.Of(row)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Definition is a compiled definition. It is never changed.
type Definition struct {
	Spec     apiextensionsv1.CustomResourceDefinitionSpec
	Storage  string // the version that is kept
	Versions map[string]*Version
}

// Version is one version of a definition.
type Version struct {
	apiextensionsv1.CustomResourceDefinitionVersion
	Schema *structural.Structural // its defaults pruned; shared, never changed

	whole, status validation.SchemaValidator
	rules         *cel.Validator
	printer       *printer
}

// HasStatus tells whether status is written by its own door alone.
func (v *Version) HasStatus() bool { return v.Subresources != nil && v.Subresources.Status != nil }

// Scale says where replicas are, nil when objects of the version have none.
func (v *Version) Scale() *apiextensionsv1.CustomResourceSubresourceScale {
	if v.Subresources == nil {
		return nil
	}
	return v.Subresources.Scale
}

// StorageVersion implements admit.ObjectRules.
func (d *Definition) StorageVersion() string { return d.Storage }

// HasStatus implements admit.ObjectRules.
func (d *Definition) HasStatus(version string) bool {
	v, ok := d.Versions[version]
	return ok && v.HasStatus()
}

// ReplicasField implements admit.ObjectRules.
func (d *Definition) ReplicasField(version string) []string {
	if v, ok := d.Versions[version]; ok && v.Scale() != nil {
		return steps(v.Scale().SpecReplicasPath)
	}
	return nil
}

func compile(d *apiextensionsv1.CustomResourceDefinition) (*Definition, error) {
	out := &Definition{Spec: d.Spec, Storage: projections.StorageVersion(d), Versions: map[string]*Version{}}
	for _, v := range d.Spec.Versions {
		made, err := compileVersion(v)
		if err != nil {
			return nil, fmt.Errorf("compile version %s of %s: %w", v.Name, d.Name, err)
		}
		out.Versions[v.Name] = made
	}
	return out, nil
}

func compileVersion(v apiextensionsv1.CustomResourceDefinitionVersion) (*Version, error) {
	out := &Version{CustomResourceDefinitionVersion: v}
	props := &apiextensions.JSONSchemaProps{}
	if v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, props, nil); err != nil {
			return nil, fmt.Errorf("convert schema: %w", err)
		}
	}
	s, err := structural.NewStructural(props)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	out.Schema = s.DeepCopy() // it shares its defaults with props
	if err := defaulting.PruneDefaults(out.Schema); err != nil {
		return nil, fmt.Errorf("prune defaults: %w", err)
	}
	if out.whole, _, err = validation.NewSchemaValidator(props); err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	if status, ok := props.Properties["status"]; ok && out.HasStatus() {
		if out.status, _, err = validation.NewSchemaValidator(&status); err != nil {
			return nil, fmt.Errorf("compile schema of status: %w", err)
		}
	}
	out.rules = cel.NewValidator(out.Schema, true, celconfig.PerCallLimit)
	out.printer, err = newPrinter(v.AdditionalPrinterColumns)
	return out, err
}
