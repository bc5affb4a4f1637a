package merge

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stave-run/stave/events"
)

func kind(t *testing.T, r events.Resource) events.Kind {
	t.Helper()
	k, ok := events.KindOf(r)
	if !ok {
		t.Fatalf("no kind %s", r)
	}
	return k
}

func TestThreeWay(t *testing.T) {
	for _, c := range []struct {
		name                      string
		resource                  events.Resource
		applied, next, live, want string
	}{
		{"set, removed, kept", events.ConfigMaps,
			`{"data":{"a":"1","b":"1"}}`, `{"data":{"a":"2"}}`, `{"data":{"a":"1","b":"1","others":"x"}}`, `{"data":{"a":"2","others":"x"}}`},
		{"never applied: nothing is removed", events.ConfigMaps, ``, `{"data":{"a":"2"}}`, `{"data":{"b":"1"}}`, `{"data":{"a":"2","b":"1"}}`},
		{"removed by somebody, wanted still", events.ConfigMaps, `{"data":{"a":"1"}}`, `{"data":{"a":"1"}}`, `{"data":{}}`, `{"data":{"a":"1"}}`},
		{"changed by somebody, wanted as it was", events.ConfigMaps, `{"data":{"a":"1"}}`, `{"data":{"a":"1"}}`, `{"data":{"a":"9"}}`, `{"data":{"a":"1"}}`},
		{"containers merge by name", events.Pods,
			`{"spec":{"containers":[{"name":"a","image":"x"},{"name":"b","image":"y"}]}}`,
			`{"spec":{"containers":[{"name":"a","image":"z"}]}}`,
			`{"spec":{"containers":[{"name":"a","image":"x","imagePullPolicy":"Always"},{"name":"b","image":"y"},{"name":"sidecar","image":"s"}]}}`,
			`{"spec":{"containers":[{"name":"a","image":"z","imagePullPolicy":"Always"},{"name":"sidecar","image":"s"}]}}`},
		{"environment merges by name", events.Pods,
			`{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":"1"},{"name":"B","value":"1"}]}]}}`,
			`{"spec":{"containers":[{"name":"a","env":[{"name":"B","value":"2"}]}]}}`,
			`{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":"1"},{"name":"B","value":"1"},{"name":"C","value":"1"}]}]}}`,
			`{"spec":{"containers":[{"name":"a","env":[{"name":"B","value":"2"},{"name":"C","value":"1"}]}]}}`},
		{"ports of a service merge by port, with what was given out", events.Services,
			`{"spec":{"ports":[{"port":80}]}}`, `{"spec":{"ports":[{"port":80,"targetPort":8080}]}}`,
			`{"spec":{"clusterIP":"10.0.0.1","ports":[{"port":80,"nodePort":30000,"targetPort":80}]}}`,
			`{"spec":{"clusterIP":"10.0.0.1","ports":[{"port":80,"nodePort":30000,"targetPort":8080}]}}`},
		{"arguments are replaced whole", events.Pods,
			`{"spec":{"containers":[{"name":"a","args":["1","2"]}]}}`, `{"spec":{"containers":[{"name":"a","args":["3"]}]}}`,
			`{"spec":{"containers":[{"name":"a","args":["1","2"]}]}}`, `{"spec":{"containers":[{"name":"a","args":["3"]}]}}`},
		{"another strategy leaves nothing of the old", events.Deployments,
			`{"spec":{}}`, `{"spec":{"strategy":{"type":"Recreate"}}}`,
			`{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}}`, `{"spec":{"strategy":{"type":"Recreate"}}}`},
		{"what the log knows is not merged", events.ConfigMaps,
			``, `{"metadata":{"name":"c","uid":"u","resourceVersion":"7","creationTimestamp":null,"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","a":"b"}},"status":{"x":1}}`,
			`{"metadata":{"name":"c"}}`, `{"metadata":{"name":"c","annotations":{"a":"b"}}}`},
		{"large numbers stay whole", events.Pods, ``, `{"spec":{"activeDeadlineSeconds":9007199254740993}}`, `{"spec":{}}`, `{"spec":{"activeDeadlineSeconds":9007199254740993}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			have, err := ThreeWay(kind(t, c.resource), json.RawMessage(c.applied), json.RawMessage(c.next), json.RawMessage(c.live))
			if err != nil {
				t.Fatal(err)
			}
			if !equal(t, string(have), c.want) {
				t.Errorf("have %s\nwant %s", have, c.want)
			}
			again, err := ThreeWay(kind(t, c.resource), json.RawMessage(c.next), json.RawMessage(c.next), have)
			if err != nil || !equal(t, string(again), string(have)) {
				t.Errorf("applied again: %s, %v", again, err)
			}
		})
	}
}

func equal(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	for s, v := range map[string]*any{a: &x, b: &y} {
		if err := json.Unmarshal([]byte(s), v); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return a == b || reflect.DeepEqual(x, y)
}

func TestErrors(t *testing.T) {
	pods := kind(t, events.Pods)
	for name, c := range map[string][3]string{
		"no JSON applied": {"{", "{}", "{}"}, "no JSON now": {"", "[", "{}"}, "no JSON live": {"", "{}", "["},
		"no merge key": {"", `{"spec":{"containers":[{"image":"x"}]}}`, `{"spec":{"containers":[{"name":"a"}]}}`},
	} {
		if have, err := ThreeWay(pods, json.RawMessage(c[0]), json.RawMessage(c[1]), json.RawMessage(c[2])); err == nil {
			t.Errorf("%s: %s", name, have)
		}
	}
}
