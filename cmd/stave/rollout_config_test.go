package main

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

func TestACopyIsNamedByItsContent(t *testing.T) {
	copyOfMap := func(name, value string) copied {
		raw, _ := json.Marshal(&corev1.ConfigMap{Data: map[string]string{"k": value}})
		c, err := asCopy(wire.RevisedConfig{Resource: events.ConfigMaps, Name: name, Then: raw}, "shop", 7)
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

// A copy of a Secret is named by where its content stands in the log: a hash of the
// content would help to guess it.
func TestACopyOfASecretDoesNotTellOfItsContent(t *testing.T) {
	name := func(version, value string) string {
		raw, _ := json.Marshal(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: version}, Data: map[string][]byte{"k": []byte(value)}})
		c, err := asCopy(wire.RevisedConfig{Resource: events.Secrets, Name: "db", Then: raw}, "shop", 7)
		if err != nil || !strings.Contains(string(c.raw), `"kind":"Secret"`) {
			t.Fatal(string(c.raw), err)
		}
		return c.name
	}
	if name("5", "a") != name("5", "b") || name("5", "a") == name("6", "a") {
		t.Errorf("%s, %s, %s", name("5", "a"), name("5", "b"), name("6", "a"))
	}
}

// Wherever a pod can mention a ConfigMap or Secret, it is led to the copy, and not to
// that of the other kind.
func TestRenameFindsEveryMention(t *testing.T) {
	spec := `{"initContainers":[{"name":"i","envFrom":[{"configMapRef":{"name":"a"}},{"secretRef":{"name":"a"}}]}],
		"containers":[{"name":"c","env":[{"name":"X","valueFrom":{"configMapKeyRef":{"name":"a","key":"k"}}},{"name":"Z","valueFrom":{"secretKeyRef":{"name":"a","key":"k"}}},{"name":"Y","value":"a"}],"envFrom":[{"configMapRef":{"name":"b"}}]}],
		"volumes":[{"name":"a","configMap":{"name":"a"}},{"name":"s","secret":{"secretName":"a"}},{"name":"p","projected":{"sources":[{"configMap":{"name":"a"}},{"configMap":{"name":"b"}},{"secret":{"name":"a"}}]}},{"name":"e","emptyDir":{}}]}`
	var s corev1.PodSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatal(err)
	}
	rename(&s, map[projections.Mention]string{{Resource: events.ConfigMaps, Name: "a"}: "a-map", {Resource: events.Secrets, Name: "a"}: "a-secret"})
	raw, _ := json.Marshal(&s)
	count := func(what string) int { return strings.Count(string(raw), what) }
	if count(`"a-map"`) != 4 || count(`"a-secret"`) != 4 || count(`"name":"b"`) != 2 {
		t.Errorf("%d and %d mentions led to the copies in %s", count(`"a-map"`), count(`"a-secret"`), raw)
	}
}
