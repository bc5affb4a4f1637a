// Package manifest reads what people write: YAML or JSON with positions, a
// strict decode into Kubernetes' types, Kubernetes' defaults and validation, the
// fields that nothing honours yet, and the canonical form that the log stores.
//
// It is pure, so that the CLI, admission and any test say the same about the
// same bytes.
package manifest
