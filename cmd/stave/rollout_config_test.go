package main

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

func TestACopyIsNamedByItsContent(t *testing.T) {
	copyOfMap := func(name, value string) copied {
		raw, _ := json.Marshal(&corev1.ConfigMap{Data: map[string]string{"k": value}})
		c, err := asCopy(wire.RevisedConfig{Name: name, Then: raw}, "shop", 7)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, again, other := copyOfMap("settings", "1"), copyOfMap("settings", "1"), copyOfMap("settings", "2")
	if a.name != again.name || a.name == other.name || !strings.HasPrefix(a.name, "settings-") || string(a.raw) != string(again.raw) {
		t.Errorf("%+v, %+v, %+v", a, again, other)
	}
	var m corev1.ConfigMap
	if err := json.Unmarshal(a.raw, &m); err != nil || !*m.Immutable || m.Namespace != "shop" || m.Data["k"] != "1" || m.Labels[projections.CopyOf] != "settings" {
		t.Errorf("%s, %v", a.raw, err)
	}
	if copyAgain := copyOfMap(a.name, "1"); copyAgain.name != a.name || copyAgain.of != "settings" {
		t.Errorf("a copy of a copy: %+v", copyAgain)
	}
	if long := copyOfMap(strings.Repeat("x", 253), "1"); len(long.name) != 253 {
		t.Errorf("a long name becomes one of %d characters", len(long.name))
	}
}

// Wherever a pod can mention a ConfigMap, it is led to the copy.
func TestRenameFindsEveryMention(t *testing.T) {
	spec := `{"initContainers":[{"name":"i","envFrom":[{"configMapRef":{"name":"a"}}]}],
		"containers":[{"name":"c","env":[{"name":"X","valueFrom":{"configMapKeyRef":{"name":"a","key":"k"}}},{"name":"Y","value":"a"}],"envFrom":[{"configMapRef":{"name":"b"}}]}],
		"volumes":[{"name":"a","configMap":{"name":"a"}},{"name":"p","projected":{"sources":[{"configMap":{"name":"a"}},{"configMap":{"name":"b"}}]}},{"name":"e","emptyDir":{}}]}`
	var s corev1.PodSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatal(err)
	}
	rename(&s, map[string]string{"a": "a-copy"})
	raw, _ := json.Marshal(&s)
	if n := strings.Count(string(raw), `"name":"a-copy"`); n != 4 || strings.Count(string(raw), `"name":"b"`) != 2 {
		t.Errorf("%d mentions led to the copy in %s", n, raw)
	}
}
