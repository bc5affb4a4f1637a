package manifest

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// wantedKeys are those that a Secret of a type has to have.
var wantedKeys = map[corev1.SecretType][]string{
	corev1.SecretTypeDockercfg:        {corev1.DockerConfigKey},
	corev1.SecretTypeDockerConfigJson: {corev1.DockerConfigJsonKey},
	corev1.SecretTypeSSHAuth:          {corev1.SSHAuthPrivateKey},
	corev1.SecretTypeTLS:              {corev1.TLSCertKey, corev1.TLSPrivateKeyKey},
}

// validateSecret looks at what sealed values show too: which there are, and how
// long they are. SecretContent is asked beside it.
func validateSecret(s *corev1.Secret) field.ErrorList {
	var errs field.ErrorList
	total := 0
	at := field.NewPath("data")
	for _, k := range keysOf(s.Data) {
		errs = invalid(errs, at.Key(k), k, validation.IsConfigMapKey(k))
		total += events.PlainSize(s.Data[k])
	}
	if total > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(at, "", corev1.MaxSecretSize))
	}
	for _, k := range wantedKeys[s.Type] {
		if _, ok := s.Data[k]; !ok {
			errs = append(errs, field.Required(at.Key(k), ""))
		}
	}
	switch s.Type {
	case corev1.SecretTypeBasicAuth:
		_, name := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !name && !password {
			errs = append(errs, field.Required(at.Key(corev1.BasicAuthUsernameKey), ""), field.Required(at.Key(corev1.BasicAuthPasswordKey), ""))
		}
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			errs = append(errs, field.Required(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), ""))
		}
	}
	return errs
}

// MergeStringData moves the values of stringData, which is only ever written, to
// data.
func MergeStringData(s *corev1.Secret) {
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for k, text := range s.StringData {
		s.Data[k] = []byte(text)
	}
	s.StringData = nil
}

// SecretContent holds the plain values of a Secret, also those of stringData, to
// what their type wants: asked before they are sealed. No value is repeated.
func SecretContent(secret *corev1.Secret) field.ErrorList {
	s := secret.DeepCopy()
	MergeStringData(s)
	key := map[corev1.SecretType]string{corev1.SecretTypeDockercfg: corev1.DockerConfigKey, corev1.SecretTypeDockerConfigJson: corev1.DockerConfigJsonKey}[s.Type]
	if value := s.Data[key]; len(value) > 0 && !json.Valid(value) {
		return field.ErrorList{field.Invalid(field.NewPath("data").Key(key), "<secret contents redacted>", "it is not JSON")}
	}
	return nil
}

// updateSecret allows what Kubernetes allows: another type never, and nothing of
// an immutable one.
func updateSecret(old, next *corev1.Secret) field.ErrorList {
	errs := unchanged(nil, field.NewPath("type"), old.Type, next.Type)
	if old.Immutable == nil || !*old.Immutable {
		return errs
	}
	if next.Immutable == nil || !*next.Immutable {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), "field is immutable when `immutable` is set"))
	}
	if !same(old.Data, next.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), "field is immutable when `immutable` is set"))
	}
	return errs
}
