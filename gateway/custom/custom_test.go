package custom_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.x.org}
spec:
  group: x.org
  scope: Namespaced
  names: {plural: lamps, kind: Lamp}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.count, statusReplicasPath: .status.count}}
    additionalPrinterColumns:
    - {name: Watt, type: integer, jsonPath: .spec.watt}
    - {name: Lit, type: boolean, jsonPath: .status.lit}
    - {name: Names, type: string, jsonPath: ".spec.names[*].name"}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema: &schema
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [watt]
            x-kubernetes-validations:
            - {rule: "self.watt <= self.most", message: too much, fieldPath: .watt}
            properties:
              watt: {type: integer, minimum: 1, x-kubernetes-validations: [{rule: self >= oldSelf, message: may not fall}]}
              most: {type: integer, default: 60}
              count: {type: integer}
              any: {type: object, x-kubernetes-preserve-unknown-fields: true}
              names:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}}}
          status:
            type: object
            properties: {lit: {type: boolean}, count: {type: integer}}
  - name: v1beta1
    served: true
    storage: false
    schema:
      openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {watt: {type: integer}, old: {type: string, default: older}}}}}
`

// town is a state that requests are admitted to.
type town struct {
	*testing.T
	v     projections.State
	rules custom.Schemas
	n     int
}

func (w *town) ask(op wire.Operation, item wire.Item, change func(*wire.ChangeRequest)) admit.Outcome {
	w.n++
	r := admit.Request{ChangeRequest: wire.ChangeRequest{Operation: op}, Item: item, Op: events.OpID(fmt.Sprint("op", w.n)), Rules: &w.rules}
	if change != nil {
		change(&r.ChangeRequest)
	}
	now := time.Unix(int64(w.n), 0)
	out := admit.Admit(w.v, r, now)
	w.v = admit.Imagine(w.v, r.Op, out.Drafts, now)
	return out
}

func (w *town) write(op wire.Operation, manifest string) admit.Outcome {
	w.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		w.Fatal(err)
	}
	return w.ask(op, wire.Item{Object: raw}, nil)
}

func newTown(t *testing.T) *town {
	w := &town{T: t}
	w.v = admit.Imagine(w.v, "boot", admit.Bootstrap(w.v, projections.Cluster{Name: "test", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16", DNS: "10.96.0.10", Domain: "cluster.local"}), time.Unix(0, 0))
	if out := w.write(wire.Apply, definition); out.Result.Error != nil {
		t.Fatal(out.Result.Error.Message)
	}
	return w
}

func lamp(spec string) string {
	return "apiVersion: x.org/v1\nkind: Lamp\nmetadata: {name: a}\nspec: " + spec + "\n"
}

var lampKey = events.Key{Resource: "lamps.x.org", Namespace: "default", Name: "a"}

func (w *town) raw() string {
	o, ok := w.v.Get(lampKey)
	if !ok {
		return ""
	}
	return string(o.Raw)
}

// What is wrong is said with its field, and what is right is kept pruned and with
// its defaults.
func TestAdmission(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"{watt: 20, any: {x: 1}}", `"spec":{"any":{"x":1},"most":60,"watt":20}`},
		{"{watt: 0}", "spec.watt: Invalid value: 0: spec.watt in body should be greater than or equal to 1"},
		{"{}", "spec.watt: Required value"},
		{"{watt: 99}", "spec.watt: Invalid value: too much"},
		{"{watt: bright}", "spec.watt: Invalid value: \"string\": spec.watt in body must be of type integer"},
		{"{watt: 2, wat: 2}", `strict decoding error: unknown field "spec.wat"`},
		{"{watt: 2, names: [{name: a}, {name: a}]}", "spec.names[1]: Duplicate value"},
		{"{watt: 2, count: -1}", ".spec.count: Invalid value: -1: should be a non-negative integer"},
	} {
		w := newTown(t)
		out := w.write(wire.Create, lamp(c.spec))
		have := w.raw()
		if st := out.Result.Error; st != nil {
			have = st.Message
			if st.Details == nil || st.Details.Group != "x.org" || len(st.Details.Causes) == 0 {
				t.Errorf("%s: details %+v", c.spec, st.Details)
			}
		}
		if !strings.Contains(have, c.want) {
			t.Errorf("%s: %s\nwant %s", c.spec, have, c.want)
		}
	}
}

func TestChanges(t *testing.T) {
	w := newTown(t)
	w.write(wire.Apply, lamp("{watt: 20, count: 1}\nstatus: {lit: true}"))
	if strings.Contains(w.raw(), "status") {
		t.Errorf("its own door alone writes status: %s", w.raw())
	}
	if out := w.write(wire.Apply, lamp("{watt: 10}")); out.Result.Error == nil || !strings.Contains(out.Result.Error.Message, "may not fall") {
		t.Errorf("a rule about what was is not asked: %+v", out.Result)
	}
	w.ask(wire.Scale, wire.Item{Key: lampKey}, func(r *wire.ChangeRequest) { r.Replicas = 7 })
	if out := w.write(wire.Apply, lamp("{watt: 30, count: 1}")); out.Result.Outcome != admit.Configured || !strings.Contains(w.raw(), `"count":1`) {
		t.Errorf("%s: %s", out.Result.Outcome, w.raw())
	}
	if out := w.write(wire.Apply, lamp("{watt: 30}")); out.Result.Outcome != admit.Configured || strings.Contains(w.raw(), "count") {
		t.Errorf("what is applied no more has to go: %s", w.raw())
	}
	if out := w.write(wire.Apply, lamp("{watt: 30}")); out.Result.Outcome != admit.Unchanged || len(out.Drafts) > 0 {
		t.Errorf("%s", out.Result.Outcome)
	}
	if o, _ := w.v.Get(lampKey); o.Generation != 4 {
		t.Errorf("generation %d", o.Generation)
	}
}

// An object is kept in one version, whichever it was written in.
func TestVersions(t *testing.T) {
	w := newTown(t)
	out := w.write(wire.Create, "apiVersion: x.org/v1beta1\nkind: Lamp\nmetadata: {name: a}\nspec: {watt: 5}\n")
	if out.Result.Error != nil || !strings.Contains(w.raw(), `"apiVersion":"x.org/v1"`) || strings.Contains(w.raw(), "old") || !strings.Contains(w.raw(), `"most":60`) {
		t.Errorf("%v: %s", out.Result.Error, w.raw())
	}
	row, _ := w.v.Definition("lamps.x.org")
	d, err := w.rules.Of(row)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := w.v.Object(lampKey, time.Unix(0, 0))
	u := o.(*unstructured.Unstructured)
	if err := d.In(u, "v1beta1"); err != nil || u.GetAPIVersion() != "x.org/v1beta1" {
		t.Fatal(err, u.Object)
	}
	if old, _, _ := unstructured.NestedString(u.Object, "spec", "old"); old != "older" {
		t.Errorf("in its other version it is %v", u.Object)
	}
}

// A definition is held to Kubernetes' rules, and may not take names from another.
func TestDefinitions(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"name: lamps.x.org", "name: lamps.y.org", `metadata.name: Invalid value: "lamps.y.org": must be spec.names.plural+"."+spec.group`},
		{"rule: self >= oldSelf", "rule: self >=", "Syntax error"},
		{"type: integer, minimum: 1,", "minimum: 1,", "properties[watt].type: Required value: must not be empty for specified object fields"},
		{"storage: true", "storage: false", "must have exactly one version marked as storage version"},
		{"default: 60", "default: much", `default: Invalid value: "string":  in body must be of type integer`},
		{"names: {plural", "conversion: {strategy: Webhook}\n  names: {plural", "spec.conversion.webhookClientConfig: Required value"},
	} {
		w := &town{T: t}
		out := w.write(wire.Create, strings.Replace(definition, c.from, c.to, 1))
		if out.Result.Error == nil || !strings.Contains(out.Result.Error.Message, c.want) {
			t.Errorf("%s: %+v\nwant %s", c.to, out.Result.Error, c.want)
		}
	}
	w := newTown(t)
	w.write(wire.Create, strings.NewReplacer("lamps", "tubes", "Lamp", "Tube").Replace(definition))
	out := w.write(wire.Apply, strings.NewReplacer("lamps", "tubes", "kind: Lamp", "kind: Tube, shortNames: [lamp]").Replace(definition))
	if out.Result.Error == nil || !strings.Contains(out.Result.Error.Message, `spec.names: Invalid value: "lamp": lamps.x.org has this name`) {
		t.Errorf("%+v", out.Result)
	}
	if out := w.write(wire.Apply, strings.Replace(definition, "scope: Namespaced", "scope: Cluster", 1)); out.Result.Error == nil {
		t.Error("the scope of a definition changes")
	}
}

// While a definition goes, nothing new of it comes.
func TestADefinitionThatGoes(t *testing.T) {
	w := newTown(t)
	w.write(wire.Create, lamp("{watt: 5}"))
	out := w.ask(wire.Delete, wire.Item{Key: events.DefinitionKey("lamps.x.org")}, nil)
	if len(out.Drafts) != 1 || out.Drafts[0].Type.Verb() != events.VerbDeletionRequested {
		t.Fatalf("%+v", out)
	}
	out = w.write(wire.Create, strings.Replace(lamp("{watt: 5}"), "name: a", "name: b", 1))
	if out.Result.Error == nil || !strings.Contains(out.Result.Error.Message, "create not allowed while custom resource definition is terminating") {
		t.Errorf("%+v", out.Result)
	}
}

// An edition that is only tried is compiled by itself.
func TestTriedEditionsAreTheirOwn(t *testing.T) {
	w := newTown(t)
	before := w.v
	w.write(wire.Apply, strings.Replace(definition, "minimum: 1", "minimum: 3", 1))
	tried, _ := w.v.Definition("lamps.x.org")
	w.v = before
	w.write(wire.Apply, strings.Replace(definition, "minimum: 1", "minimum: 9", 1))
	real, _ := w.v.Definition("lamps.x.org")
	for row, min := range map[*projections.Object]string{tried: "3", real: "9"} {
		d, err := w.rules.Of(row)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(`{"apiVersion":"x.org/v1","kind":"Lamp","spec":{"watt":1,"most":60}}`), u); err != nil {
			t.Fatal(err)
		}
		if errs := d.Validate(u, nil); len(errs) != 1 || !strings.Contains(errs[0].Detail, "equal to "+min) {
			t.Errorf("minimum %s: %v", min, errs)
		}
	}
}

func TestColumns(t *testing.T) {
	w := newTown(t)
	row, _ := w.v.Definition("lamps.x.org")
	d, err := w.rules.Of(row)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 2, 0, 0, time.UTC)
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
		"spec": map[string]any{"watt": int64(5), "names": []any{map[string]any{"name": "x"}, map[string]any{"name": "y"}}}, "status": map[string]any{"lit": "maybe"}}}
	if have := fmt.Sprintf("%#v", d.Versions["v1"].Cells(u, "a", now)); have != `[]interface {}{"a", 5, interface {}(nil), "x", "2m"}` {
		t.Error(have)
	}
	kind, _ := w.v.KindOf("lamps.x.org")
	table, err := custom.Table(kind, d.Versions["v1beta1"].AdditionalPrinterColumns, []events.Object{u}, now)
	if err != nil || len(table.Columns) != 2 || table.Columns[1].Name != "AGE" || table.Rows[0].Cells[1] != "2m" || table.Rows[0].Kind != "lamp.x.org" {
		t.Errorf("%+v, %v", table, err)
	}
}
