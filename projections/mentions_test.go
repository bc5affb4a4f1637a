package projections_test

import (
	"encoding/json"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func TestConfigOfFindsEveryMentionOnce(t *testing.T) {
	var s corev1.PodSpec
	err := json.Unmarshal([]byte(`{"initContainers":[{"name":"i","envFrom":[{"secretRef":{"name":"a"}}]}],
		"containers":[{"name":"c","env":[{"name":"X","valueFrom":{"secretKeyRef":{"name":"b","key":"k"}}},{"name":"Y","valueFrom":{"configMapKeyRef":{"name":"a","key":"k"}}}],"envFrom":[{"configMapRef":{"name":"a"}}]}],
		"volumes":[{"name":"v","secret":{"secretName":"c"}},{"name":"m","configMap":{"name":"b"}},{"name":"p","projected":{"sources":[{"secret":{"name":"d"}},{"configMap":{"name":"c"}},{"secret":{"name":"a"}}]}}]}`), &s)
	if err != nil {
		t.Fatal(err)
	}
	m, s1 := events.ConfigMaps, events.Secrets
	want := []projections.Mention{{Resource: s1, Name: "a"}, {Resource: m, Name: "a"}, {Resource: s1, Name: "b"}, {Resource: s1, Name: "c"},
		{Resource: m, Name: "b"}, {Resource: s1, Name: "d"}, {Resource: m, Name: "c"}}
	if got := projections.ConfigOf(&s); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
