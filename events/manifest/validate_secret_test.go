package manifest

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const secretHead = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"

func TestSecretsHaveWhatTheirTypeWants(t *testing.T) {
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"plain", "data: {a.b-c_d: eA==}", nil},
		{"nothing in it", "", nil},
		{"a bad key", "data: {a/b: eA==}", []string{"data[a/b]: FieldValueInvalid"}},
		{"tls without a key", "type: kubernetes.io/tls\ndata: {tls.crt: eA==}", []string{"data[tls.key]: FieldValueRequired"}},
		{"tls", "type: kubernetes.io/tls\ndata: {tls.crt: eA==, tls.key: eA==}", nil},
		{"a login without anything", "type: kubernetes.io/basic-auth", []string{"data[username]: FieldValueRequired", "data[password]: FieldValueRequired"}},
		{"a login", "type: kubernetes.io/basic-auth\ndata: {password: eA==}", nil},
		{"ssh", "type: kubernetes.io/ssh-auth", []string{"data[ssh-privatekey]: FieldValueRequired"}},
		{"registry", "type: kubernetes.io/dockerconfigjson", []string{"data[.dockerconfigjson]: FieldValueRequired"}},
		{"a token of nobody", "type: kubernetes.io/service-account-token", []string{"metadata.annotations[kubernetes.io/service-account.name]: FieldValueRequired"}},
		{"too much", "data: {a: " + strings.Repeat("AAAA", corev1.MaxSecretSize/3+1) + "}", []string{"data: FieldValueTooLong"}},
		{"another's type", "type: example.org/thing\ndata: {a: eA==}", nil},
	} {
		if got := brief(validated(t, secretHead+c.src)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSecretContentIsNotRepeated(t *testing.T) {
	s := &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{corev1.DockerConfigJsonKey: "hunter2"}}
	errs := SecretContent(s)
	if len(errs) != 1 || strings.Contains(errs.ToAggregate().Error(), "hunter2") {
		t.Errorf("%v", errs)
	}
	s.StringData[corev1.DockerConfigJsonKey] = `{"auths":{}}`
	if errs := SecretContent(s); len(errs) > 0 {
		t.Errorf("%v", errs)
	}
	s.StringData, s.Data = nil, map[string][]byte{corev1.DockerConfigJsonKey: []byte("[")}
	if errs := SecretContent(s); len(errs) != 1 {
		t.Errorf("%v", errs)
	}
}

func TestWhatOfASecretMayChange(t *testing.T) {
	yes := true
	old := &corev1.Secret{Type: "a", Data: map[string][]byte{"k": []byte("1")}}
	for _, c := range []struct {
		name string
		next *corev1.Secret
		lock bool
		want []string
	}{
		{"a value", &corev1.Secret{Type: "a", Data: map[string][]byte{"k": []byte("2")}}, false, nil},
		{"its type", &corev1.Secret{Type: "b"}, false, []string{"type: FieldValueInvalid"}},
		{"a locked value", &corev1.Secret{Type: "a", Immutable: &yes, Data: map[string][]byte{"k": []byte("2")}}, true, []string{"data: FieldValueForbidden"}},
		{"the lock", &corev1.Secret{Type: "a", Data: map[string][]byte{"k": []byte("1")}}, true, []string{"immutable: FieldValueForbidden"}},
		{"a label of a locked one", &corev1.Secret{Type: "a", Immutable: &yes, Data: map[string][]byte{"k": []byte("1")}}, true, nil},
	} {
		was := old.DeepCopy()
		if c.lock {
			was.Immutable = &yes
		}
		if got := brief(ValidateUpdate(was, c.next)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
