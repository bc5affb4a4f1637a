package manifest

import (
	"encoding/json"
	"strings"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"

	"github.com/stave-run/stave/events"
)

// held is what is wrong with an object that a person writes, in one line; "" is nothing.
func held(t *testing.T, o events.Object, name, spec string) string {
	t.Helper()
	if err := json.Unmarshal([]byte(`{"metadata":{"name":"`+name+`"},"spec":`+spec+`}`), o); err != nil {
		t.Fatal(err)
	}
	Default(o)
	var said []string
	for _, e := range Validate(o) {
		said = append(said, e.Error())
	}
	return strings.Join(said, "; ")
}

const gpu = `{"name":"gpu","exactly":{"deviceClassName":"gpu.example.com"}}`

// What asks for devices, offers them and bars them is held to Kubernetes' rules, in its words.
func TestDevicesAreValidated(t *testing.T) {
	slice := func(devices string) string {
		return `{"driver":"gpu.example.com","pool":{"name":"a/b","generation":1,"resourceSliceCount":1},"nodeName":"n1","devices":[` + devices + `]}`
	}
	shared := func(policy string) string {
		return slice(`{"name":"d","allowMultipleAllocations":true,"capacity":{"memory":{"value":"10Gi","requestPolicy":` + policy + `}}}`)
	}
	claim, class, slices, rule := &resourcev1.ResourceClaim{}, &resourcev1.DeviceClass{}, &resourcev1.ResourceSlice{}, &resourcev1.DeviceTaintRule{}
	for _, c := range []struct {
		of         events.Object
		spec, want string // the words; "" is right
	}{
		{claim, `{}`, ""},
		{claim, `{"devices":{"requests":[` + gpu + `]}}`, ""},
		{claim, `{"devices":{"requests":[` + gpu + `,` + gpu + `]}}`, `spec.devices.requests[1]: Duplicate value: "gpu"`},
		{claim, `{"devices":{"requests":[{"name":"g"}]}}`, "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"},
		{claim, `{"devices":{"requests":[{"name":"G","exactly":{}}]}}`, "spec.devices.requests[0].name: Invalid value: \"G\""},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{}}]}}`, "spec.devices.requests[0].exactly.deviceClassName: Required value"},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{"deviceClassName":"c","allocationMode":"All","count":2}}]}}`, "count: Invalid value: 2: must not be specified when allocationMode is 'All'"},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{"deviceClassName":"c","count":-1}}]}}`, "count: Invalid value: -1: must be greater than zero"},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{"deviceClassName":"c","allocationMode":"Some"}}]}}`, `allocationMode: Unsupported value: "Some"`},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{"deviceClassName":"c","selectors":[{}]}}]}}`, "selectors[0].cel: Required value"},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{"deviceClassName":"c","tolerations":[{"operator":"Exists","value":"v"}]}}]}}`, "value: Invalid value: \"v\": must be empty for operator `Exists`"},
		{claim, `{"devices":{"requests":[{"name":"g","firstAvailable":[{"name":"a","deviceClassName":"c"},{"name":"a","deviceClassName":"c"}]}]}}`, `firstAvailable[1]: Duplicate value: "a"`},
		{claim, `{"devices":{"requests":[{"name":"g","firstAvailable":[{"name":"a","deviceClassName":"c"}]}],"constraints":[{"requests":["g/a"],"matchAttribute":"x.org/numa"}]}}`, ""},
		{claim, `{"devices":{"requests":[` + gpu + `],"constraints":[{"requests":["gpu/a"],"matchAttribute":"x.org/numa"}]}}`, `constraints[0].requests[0]: Invalid value: "gpu/a": must be the name of a request in the claim`},
		{claim, `{"devices":{"requests":[` + gpu + `],"constraints":[{"matchAttribute":"numa"}]}}`, "a fully qualified name must be a domain and a name separated by a slash"},
		{claim, `{"devices":{"constraints":[{}]}}`, "spec.devices.constraints[0]: Required value"},
		{claim, `{"devices":{"config":[{"opaque":{"driver":"d","parameters":[1]}}]}}`, "parameters: Invalid value: \"<value omitted>\": must be a valid JSON object"},
		{claim, `{"devices":{"config":[{}]}}`, "spec.devices.config[0].opaque: Required value"},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{"deviceClassName":"c","derivedAttributes":[{"name":"x.org/a","expression":"1"}]}}]}}`, "must be referenced by at least one matchAttribute or distinctAttribute constraint"},
		{claim, `{"devices":{"requests":[{"name":"g","exactly":{"deviceClassName":"c","derivedAttributes":[{"name":"x.org/a","expression":"1"}]}}],"constraints":[{"distinctAttribute":"x.org/a"}]}}`, ""},
		{class, `{"extendedResourceName":"example.com/gpu"}`, ""},
		{class, `{"extendedResourceName":"gpu"}`, "must be a valid extended resource name"},
		{slices, slice(`{"name":"d"}`), ""},
		{slices, slice(`{"name":"d"},{"name":"d"}`), `spec.devices[1]: Duplicate value: "d"`},
		{slices, slice(`{"name":"d","nodeName":"n"}`), "can only be set if `perDeviceNodeSelection` is set to true"},
		{slices, slice(`{"name":"d","attributes":{"a":{"int":1,"bool":true}}}`), "exactly one value must be specified"},
		{slices, slice(`{"name":"d","attributes":{"a":{"version":"1.2"}}}`), "must be a string compatible with semver.org spec 2.0.0"},
		{slices, slice(`{"name":"d","attributes":{"x.org/a-b":{"int":1}}}`), `spec.devices[0].attributes: Invalid value: "a-b"`},
		{slices, slice(`{"name":"d","taints":[{"key":"k","effect":"Never"}]}`), `taints[0].effect: Unsupported value: "Never"`},
		{slices, slice(`{"name":"d","bindingConditions":["a"]}`), "bindingFailureConditions are required to use bindingConditions"},
		{slices, slice(`{"name":"d","consumesCounters":[{"counterSet":"c"}]}`), "counters: Required value"},
		{slices, slice(`{"name":"d","nodeAllocatableResources":{"disk":{}}}`), "must be a node allocatable resource name"},
		{slices, slice(`{"name":"d","nodeAllocatableResources":{"cpu":{"mapping":{"capacityKey":"c","capacityMultiplier":"1"}}}}`), `capacityKey: Not found: "c"`},
		{slices, slice(`{"name":"d","capacity":{"memory":{"value":"1Gi","requestPolicy":{}}}}`), "allowMultipleAllocations must be true"},
		{slices, shared(`{"default":"1Gi","validRange":{"min":"1Gi","step":"1Gi"}}`), ""},
		{slices, shared(`{"default":"1500Mi","validRange":{"min":"1Gi","step":"1Gi"}}`), "value is not a multiple of a given step (1Gi) from (1Gi)"},
		{slices, shared(`{"default":"1","validRange":{"min":"1Gi"}}`), "default is less than min: 1Gi"},
		{slices, shared(`{"default":"20Gi","validRange":{"min":"1Gi","max":"20Gi"}}`), "max is larger than capacity value: 10Gi"},
		{slices, shared(`{"default":"1500m","validRange":{"min":"1","step":"500m"}}`), ""},
		{slices, shared(`{"validValues":["1Gi"]}`), "default: Required value: required when validValues is defined"},
		{slices, shared(`{"default":"1Gi","validValues":["2Gi","1Gi"]}`), "values must be sorted in ascending order"},
		{slices, shared(`{"default":"3Gi","validValues":["1Gi","2Gi"]}`), "default value is not valid according to the requestPolicy"},
		{slices, `{"driver":"d","pool":{"name":"p","resourceSliceCount":1}}`, "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"},
		{slices, `{"driver":"d","pool":{"name":"p","resourceSliceCount":1},"allNodes":true,"nodeName":"n"}`, "but multiple fields are set"},
		{slices, `{"driver":"d","pool":{"name":"P","generation":-1},"allNodes":true}`, "resourceSliceCount: Invalid value: 0: must be greater than zero; spec.pool.generation: Invalid value: -1"},
		{rule, `{"taint":{"key":"k","effect":"None"}}`, ""},
		{rule, `{"taint":{"key":"k"}}`, "spec.taint.effect: Required value"},
		{rule, `{"taint":{"key":"k","effect":"NoExecute"},"deviceSelector":{"pool":"","device":"D"}}`, "spec.deviceSelector.pool: Required value; spec.deviceSelector.device: Invalid value"},
		{&migrationv1.StorageVersionMigration{}, `{"resource":{"resource":"phones","group":"x.org"}}`, ""},
		{&migrationv1.StorageVersionMigration{}, `{"resource":{}}`, "resource is required to be set"},
	} {
		o, _ := c.of.DeepCopyObject().(events.Object)
		got := held(t, o, "a", c.spec)
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%T %s\n got %s\nwant %s", c.of, c.spec, got, c.want)
		}
	}
}

// What was given to a claim stays as it is, and is what the claim asked for.
func TestClaimStatus(t *testing.T) {
	spec := &resourcev1.ResourceClaimSpec{}
	if err := json.Unmarshal([]byte(`{"devices":{"requests":[`+gpu+`]}}`), spec); err != nil {
		t.Fatal(err)
	}
	const one = `{"devices":{"results":[{"request":"gpu","driver":"d","pool":"p","device":"x"}]}}`
	const device = `{"driver":"d","pool":"p","device":"x"`
	user := `"reservedFor":[{"resource":"pods","name":"a","uid":"1"}]`
	for _, c := range []struct {
		old, next string
		leaving   bool
		want      string
	}{
		{`{}`, `{"allocation":{}}`, false, ""},
		{`{}`, `{"allocation":` + one + `}`, false, ""},
		{`{}`, `{"allocation":{"devices":{"results":[{"request":"tpu","driver":"d","pool":"p","device":"x"}]}}}`, false, "status.allocation.devices.results[0].request: Invalid value"},
		{`{"allocation":{}}`, `{"allocation":` + one + `}`, false, "status.allocation: Invalid value"},
		{`{"allocation":` + one + `}`, `{}`, false, ""},
		{`{}`, `{` + user + `}`, false, "may not be specified when `allocated` is not set"},
		{`{"allocation":{}}`, `{"allocation":{},` + user + `}`, false, ""},
		{`{"allocation":{}}`, `{"allocation":{},` + user + `}`, true, "new entries may not be added"},
		{`{}`, `{"allocation":` + one + `,"devices":[` + device + `}]}`, false, ""},
		{`{}`, `{"allocation":{},"devices":[` + device + `}]}`, false, "must be an allocated device in the claim"},
		{`{}`, `{"allocation":` + one + `,"devices":[` + device + `,"networkData":{"ips":["10.0.0.1"]}}]}`, false, "must be a valid address in CIDR form"},
		{`{}`, `{"allocation":` + one + `,"devices":[` + device + `,"conditions":[{"type":"Ready"}]}]}`, false, "conditions[0].status: Required value"},
		{`{}`, `{"allocation":` + one + `,"devices":[` + device + `,"data":[]}]}`, false, "must be a valid JSON object"},
	} {
		old, next := &resourcev1.ResourceClaimStatus{}, &resourcev1.ResourceClaimStatus{}
		for raw, into := range map[string]any{c.old: old, c.next: next} {
			if err := json.Unmarshal([]byte(raw), into); err != nil {
				t.Fatal(err)
			}
		}
		if c.old == c.next {
			t.Fatal("nothing changes")
		}
		errs := ClaimStatus(spec, old, next, c.leaving)
		got := ""
		if len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s -> %s\n got %s\nwant %s", c.old, c.next, got, c.want)
		}
	}
}

// A migration that has ended stays ended.
func TestMigrationStatus(t *testing.T) {
	const at = `"status":"True","reason":"R","lastTransitionTime":"2026-01-01T00:00:00Z"`
	for _, c := range [][3]string{
		{`{}`, `{"resourceVersion":"65536","conditions":[{"type":"Succeeded",` + at + `}]}`, ""},
		{`{"resourceVersion":"65536"}`, `{"resourceVersion":"65537"}`, "field is immutable"},
		{`{}`, `{"resourceVersion":"x"}`, "resource version is not well formed: x"},
		{`{}`, `{"conditions":[{"type":"Succeeded",` + at + `},{"type":"Failed",` + at + `}]}`, "cannot be true at the same time"},
		{`{"conditions":[{"type":"Failed",` + at + `}]}`, `{}`, "Failed condition cannot be set to false once it is true"},
	} {
		old, next := &migrationv1.StorageVersionMigrationStatus{}, &migrationv1.StorageVersionMigrationStatus{}
		if json.Unmarshal([]byte(c[0]), old) != nil || json.Unmarshal([]byte(c[1]), next) != nil {
			t.Fatal(c)
		}
		errs := MigrationStatus(old, next)
		if (c[2] == "") != (len(errs) == 0) || c[2] != "" && !strings.Contains(errs.ToAggregate().Error(), c[2]) {
			t.Errorf("%s -> %s: %v", c[0], c[1], errs)
		}
	}
}
