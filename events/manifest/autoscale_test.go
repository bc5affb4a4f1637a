package manifest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/stave-run/stave/events"
)

const ofWeb = `"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}`

// Autoscalers are held to Kubernetes' rules, in its words.
func TestAutoscalersAreValidated(t *testing.T) {
	metric := func(m string) string { return `{` + ofWeb + `,"maxReplicas":3,"metrics":[` + m + `]}` }
	down := func(r string) string {
		return `{` + ofWeb + `,"maxReplicas":3,"behavior":{"scaleDown":` + r + `}}`
	}
	for _, c := range [][2]string{
		{`{` + ofWeb + `,"maxReplicas":3}`, ""},
		{`{` + ofWeb + `}`, "spec.maxReplicas: Required value: must be set and greater than 0"},
		{`{` + ofWeb + `,"maxReplicas":-1}`, "spec.maxReplicas: Invalid value: -1: must be greater than or equal to 1"},
		{`{` + ofWeb + `,"maxReplicas":3,"minReplicas":0}`, "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"},
		{`{` + ofWeb + `,"maxReplicas":3,"minReplicas":4}`, "must be greater than or equal to `minReplicas`"},
		{`{"maxReplicas":3}`, "spec.scaleTargetRef.kind: Required value; spec.scaleTargetRef.name: Required value"},
		{`{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"a/b/c","kind":"K","name":"n/m"}}`, `spec.scaleTargetRef.name: Invalid value: "n/m": may not contain '/'; spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c"`},
		{metric(`{}`), "spec.metrics[0].type: Required value: must specify a metric source type"},
		{metric(`{"type":"Heat"}`), `spec.metrics[0].type: Unsupported value: "Heat"`},
		{metric(`{"type":"Pods"}`), "spec.metrics[0].pods: Required value: must populate information for the given metric source"},
		{metric(`{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":0}}}`), "averageUtilization: Invalid value: 0: must be greater than 0"},
		{metric(`{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization"}}}`), "must set either a target raw value or a target utilization"},
		{metric(`{"type":"Resource","resource":{"name":"cpu","target":{"type":"Much","averageValue":"1"}}}`), "must be either Utilization, Value, or AverageValue"},
		{metric(`{"type":"Resource","resource":{"name":"cpu","target":{"type":"Value","averageValue":"-1"}},"pods":{"metric":{"name":"x"},"target":{"type":"AverageValue"}}}`), "spec.metrics[0].pods: Forbidden: must populate the given metric source only"},
		{metric(`{"type":"ContainerResource","containerResource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":5}}}`), "container: Required value: must specify a container"},
		{metric(`{"type":"External","external":{"metric":{"name":""},"target":{"type":"Value"}}}`), "metric.name: Required value: must specify a metric name"},
		{metric(`{"type":"Object","object":{"metric":{"name":"x"},"describedObject":{"kind":"Service","name":"web"},"target":{"type":"Value","value":"2"}}}`), ""},
		{down(`{"stabilizationWindowSeconds":3601}`), "must be less than or equal to 3600"},
		{down(`{"stabilizationWindowSeconds":-1}`), "must be greater than or equal to zero"},
		{down(`{"selectPolicy":"Some"}`), `selectPolicy: Unsupported value: "Some"`},
		{down(`{"policies":[]}`), "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy"},
		{down(`{"policies":[{"type":"Pods","value":0,"periodSeconds":1801}]}`), "value: Invalid value: 0: must be greater than zero; spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801"},
		{down(`{"tolerance":"-0.1"}`), "tolerance: Invalid value"},
	} {
		if got := held(t, &autoscalingv2.HorizontalPodAutoscaler{}, "web", c[0]); (c[1] == "") != (got == "") || !strings.Contains(got, c[1]) {
			t.Errorf("%s\n got %s\nwant %s", c[0], got, c[1])
		}
	}
}

// An autoscaler that goes through autoscaling/v1 comes back as it was.
func TestAutoscalersThroughV1(t *testing.T) {
	for _, raw := range []string{
		`{"metadata":{"name":"web","annotations":{"a":"b"}},"spec":{` + ofWeb + `,"minReplicas":2,"maxReplicas":3,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":70}}}]},
			"status":{"observedGeneration":3,"currentReplicas":2,"desiredReplicas":3,"lastScaleTime":"2026-01-01T00:00:00Z","currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":90,"averageValue":"90m"}}}],
			"conditions":[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"R","message":"m"}]}}`,
		`{"metadata":{"name":"web"},"spec":{` + ofWeb + `,"maxReplicas":3,"behavior":{"scaleUp":{"tolerance":"50m","policies":[{"type":"Pods","value":1,"periodSeconds":5}]}},"metrics":[
			{"type":"ContainerResource","containerResource":{"name":"memory","container":"c","target":{"type":"AverageValue","averageValue":"1Gi"}}},
			{"type":"Pods","pods":{"metric":{"name":"packets","selector":{"matchLabels":{"a":"b"}}},"target":{"type":"AverageValue","averageValue":"5"}}},
			{"type":"Object","object":{"metric":{"name":"hits"},"describedObject":{"apiVersion":"v1","kind":"Service","name":"web"},"target":{"type":"Value","value":"2"}}},
			{"type":"External","external":{"metric":{"name":"queue"},"target":{"type":"AverageValue","averageValue":"7"}}}]},"status":{"currentReplicas":0,"desiredReplicas":0}}`,
	} {
		in := &autoscalingv2.HorizontalPodAutoscaler{}
		if err := json.Unmarshal([]byte(raw), in); err != nil {
			t.Fatal(err)
		}
		kind, _ := events.KindOf(events.Autoscalers)
		in.SetGroupVersionKind(kind.GVK())
		there := AutoscalerToV1(in)
		if there.APIVersion != "autoscaling/v1" || in.Annotations["autoscaling.alpha.kubernetes.io/metrics"] != "" {
			t.Errorf("%+v", there)
		}
		if back := AutoscalerFromV1(there); string(events.MustBody(back)) != string(events.MustBody(in)) && !reflect.DeepEqual(back, in) {
			t.Errorf("went as %s\ncame as %s", events.MustBody(in), events.MustBody(back))
		}
	}
}

// A manifest of autoscaling/v1 is read as what is kept.
func TestManifestsOfV1(t *testing.T) {
	docs, problems := Decode("f", []byte("apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec:\n  maxReplicas: 4\n  targetCPUUtilizationPercentage: 60\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n"))
	if len(problems) > 0 || len(docs) != 1 || docs[0].Kind.Version != "v2" || !strings.Contains(string(docs[0].JSON()), `"averageUtilization":60`) {
		t.Fatalf("%v, %v", docs, problems)
	}
	if w, refused := Unhonoured(docs[0]); len(w)+len(refused) > 0 {
		t.Errorf("%v, %v", w, refused)
	}
	if _, problems = Decode("f", []byte("apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {maxReplica: 4}\n")); len(problems) != 1 || problems[0].Line != 4 {
		t.Errorf("%v", problems)
	}
}
