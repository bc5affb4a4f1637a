package admit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// town is a cluster's state and the one who appends to it.
type town struct {
	t *testing.T
	v projections.State
	n int // requests so far
}

func newTown(t *testing.T) *town {
	w := &town{t: t, v: projections.Empty()}
	w.fold("bootstrap", Bootstrap(w.v, projections.Cluster{Name: "test", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16", DNS: "10.96.0.10", Domain: "cluster.local"}))
	return w
}

// fold appends drafts as the writer does.
func (w *town) fold(id string, drafts []reconcilers.Draft) {
	w.t.Helper()
	for i, d := range drafts {
		op := w.op(id)
		if i > 0 {
			op = events.NewOpID("test", "user:me", id, events.Key{}, i)
		}
		body := d.Body
		if d.Child != nil {
			b := d.Child.Body
			b.UID = events.NewUID(op)
			body = events.MustBody(b)
		}
		void := w.v.Void
		w.event(events.Envelope{Subject: d.Subject, Type: d.Type, Body: body, Op: op, Actor: "user:me"})
		if w.v.Void != void {
			w.t.Fatalf("%s %s is void", d.Subject, d.Type)
		}
	}
}

func (w *town) event(e events.Envelope) {
	e.Seq, e.Time, e.Version = w.v.Seq+1, start.Add(time.Duration(w.v.Seq)*time.Second), 1
	w.v, _ = projections.Apply(w.v, e)
}

func (w *town) op(id string) events.OpID {
	return events.NewOpID("test", "user:me", id, events.Key{}, 0)
}

// ask admits and, when it is admitted, appends.
func (w *town) ask(r Request) wire.Result {
	w.t.Helper()
	w.n++
	id := fmt.Sprint("r", w.n)
	r.Op = w.op(id)
	out := Admit(w.v, r, w.v.Time)
	if out.Result.Error != nil && len(out.Drafts) > 0 {
		w.t.Fatalf("refused and drafted: %+v", out)
	}
	w.fold(id, out.Drafts)
	return out.Result
}

func (w *town) do(op wire.Operation, yaml string) wire.Result {
	w.t.Helper()
	docs, bad := manifest.Decode("f", []byte(yaml))
	if len(bad) > 0 || len(docs) != 1 {
		w.t.Fatalf("manifest: %v", bad)
	}
	return w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: op}, Item: wire.Item{Object: docs[0].JSON()}})
}

// must is do that has to come out as a word.
func (w *town) must(op wire.Operation, yaml, word string) wire.Result {
	w.t.Helper()
	r := w.do(op, yaml)
	if r.Error != nil || r.Outcome != word {
		w.t.Fatalf("%s: %s, %v; want %s", op, r.Outcome, r.Error, word)
	}
	return r
}

// refused is do that has to be refused.
func (w *town) refused(r wire.Result, reason metav1.StatusReason, message string) {
	w.t.Helper()
	if r.Error == nil || r.Error.Reason != reason || r.Error.Message != message || r.Outcome != "" {
		w.t.Errorf("have %q %+v\nwant %s: %s", r.Outcome, r.Error, reason, message)
	}
}

func (w *town) delete(k events.Key, edit func(*Request)) wire.Result {
	w.t.Helper()
	r := Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Delete}, Item: wire.Item{Key: k}}
	if edit != nil {
		edit(&r)
	}
	return w.ask(r)
}

func get[T events.Object](w *town, r wire.Result) T {
	w.t.Helper()
	o, ok := w.v.Get(r.Key)
	if !ok {
		w.t.Fatalf("%s is not there", r.Key)
	}
	return projections.As[T](o)
}

const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: a, image: nginx}]\n"
const config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"
const deploy = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: "nginx:1"}]}
`

func TestBootstrap(t *testing.T) {
	w := newTown(t)
	var names []string
	for o := range w.v.List(events.Namespaces, "") {
		names = append(names, o.Key.Name)
	}
	if have := strings.Join(names, " "); have != "default kube-node-lease kube-public kube-system" {
		t.Errorf("namespaces %s", have)
	}
	if c := w.v.Cluster(); c.Name != "test" || c.DNS != "10.96.0.10" {
		t.Errorf("cluster %+v", c)
	}
	if again := Bootstrap(w.v, projections.Cluster{Name: "other"}); len(again) != 0 {
		t.Errorf("a second start drafts %v", again)
	}
}

func TestCreate(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, pod, Created)
	if want := (events.Key{Resource: events.Pods, Namespace: "default", Name: "p"}); r.Key != want {
		t.Errorf("key %v", r.Key)
	}
	p := get[*corev1.Pod](w, r)
	if string(p.UID) != string(r.UID) || p.Spec.RestartPolicy != corev1.RestartPolicyAlways || p.Generation != 1 {
		t.Errorf("pod %+v, result %+v", p, r)
	}
	if o, _ := w.v.Get(r.Key); o.Applied != nil {
		t.Error("a created object was not applied")
	}
	w.refused(w.do(wire.Create, pod), metav1.StatusReasonAlreadyExists, `pods "p" already exists`)
	w.refused(w.do(wire.Create, strings.Replace(pod, "name: p", "name: p, namespace: blue", 1)), metav1.StatusReasonNotFound, `namespaces "blue" not found`)
	w.refused(w.do(wire.Replace, config), metav1.StatusReasonNotFound, `configmaps "c" not found`)
}

func TestInvalidHasACauseAField(t *testing.T) {
	w := newTown(t)
	r := w.do(wire.Apply, strings.NewReplacer("replicas: 3", "replicas: -1", "{app: web}}\n  template", "{app: x}}\n  template").Replace(deploy))
	if r.Error == nil || r.Error.Code != 422 || r.Error.Details.Kind != "Deployment" || r.Error.Details.Name != "web" {
		t.Fatalf("result %+v", r)
	}
	var fields []string
	for _, c := range r.Error.Details.Causes {
		fields = append(fields, c.Field)
		if c.Message == "" || c.Type == "" {
			t.Errorf("cause %+v", c)
		}
	}
	if have := strings.Join(fields, " "); have != "spec.template.metadata.labels spec.replicas" {
		t.Errorf("causes %s", have)
	}
	if !strings.HasPrefix(r.Error.Message, `Deployment.apps "web" is invalid: [spec.template.metadata.labels: Invalid value`) {
		t.Errorf("message %s", r.Error.Message)
	}
}

func TestTheDoorBelievesNobody(t *testing.T) {
	w := newTown(t)
	for _, raw := range []string{"", "{", "[]", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"x":1}}`, `{"apiVersion":"v1","kind":"Lease","metadata":{"name":"p"}}`,
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"p"},"data":{"k":"cGxhaW4="}}`, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"p"},"stringData":{"k":"plain"}}`} {
		r := w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Create}, Item: wire.Item{Object: []byte(raw)}})
		if r.Error == nil || r.Error.Reason != metav1.StatusReasonBadRequest {
			t.Errorf("%s: %+v", raw, r)
		}
	}
	w.refused(w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Create}, Item: wire.Item{Object: []byte(
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"a","imag":3,"stdin":1}]}}`)}}), metav1.StatusReasonBadRequest,
		"strict decoding error: spec.containers[0].imag: no such field in spec.containers[0] (did you mean image?); spec.containers[0].stdin: wants true or false, this is the number 1")
	if r := w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: "sing"}}); r.Error == nil {
		t.Error("an unknown operation went through")
	}
	if r := w.do(wire.Create, strings.Replace(pod, "image: nginx", "image: nginx, command: ["+strings.Repeat("x", 2<<20)+"]", 1)); r.Error == nil || r.Error.Reason != metav1.StatusReasonRequestEntityTooLarge {
		t.Errorf("a huge pod: %+v", r.Error)
	}
}

func TestWarningsAndRefusedFields(t *testing.T) {
	w := newTown(t)
	r := w.do(wire.Create, pod+"  resourceClaims: [{name: c, resourceClaimName: c}]\n")
	if r.Outcome != Created || len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], "spec.resourceClaims: ") {
		t.Errorf("result %+v", r)
	}
	r = w.do(wire.Create, strings.Replace(pod, "name: p", "name: q", 1)+"  securityContext: {appArmorProfile: {type: RuntimeDefault}}\n")
	if r.Error == nil || r.Error.Reason != metav1.StatusReasonInvalid || r.Error.Details.Causes[0].Field != "spec.securityContext.appArmorProfile.type" {
		t.Errorf("result %+v", r)
	}
}

func TestGenerateName(t *testing.T) {
	w := newTown(t)
	src := strings.Replace(pod, "name: p", "generateName: web-", 1)
	a, b := w.must(wire.Create, src, Created), w.must(wire.Create, src, Created)
	if a.Key == b.Key || !strings.HasPrefix(a.Key.Name, "web-") || len(a.Key.Name) != len("web-")+5 {
		t.Errorf("names %s, %s", a.Key, b.Key)
	}
	if p := get[*corev1.Pod](w, a); p.Name != a.Key.Name || p.GenerateName != "" {
		t.Errorf("pod %+v", p.ObjectMeta)
	}
	w.refused(w.do(wire.Apply, src), metav1.StatusReasonBadRequest, "from web-: cannot use generate name with apply")
	if long := generated(strings.Repeat("x", 100), "op"); len(long) != 63 {
		t.Errorf("%d characters", len(long))
	}
}

func TestApply(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Apply, deploy, Created)
	w.must(wire.Apply, deploy, Unchanged)
	if seq := w.v.Seq; w.do(wire.Apply, deploy).Outcome != Unchanged || w.v.Seq != seq {
		t.Error("applying the same again appended something")
	}
	w.must(wire.Apply, strings.Replace(deploy, "name: web}", "name: web, labels: {a: b}}", 1), Configured)
	if d := get[*appsv1.Deployment](w, r); d.Generation != 1 || d.Labels["a"] != "b" {
		t.Errorf("a label is no new generation: %+v", d.ObjectMeta)
	}
	w.must(wire.Apply, strings.Replace(deploy, "nginx:1", "nginx:2", 1), Configured)
	d := get[*appsv1.Deployment](w, r)
	if d.Generation != 2 || d.Spec.Template.Spec.Containers[0].Image != "nginx:2" || d.Labels["a"] != "" || string(d.UID) != string(r.UID) {
		t.Errorf("deployment %+v", d)
	}
	w.refused(w.do(wire.Apply, strings.ReplaceAll(deploy, "app: web", "app: x")), metav1.StatusReasonInvalid,
		`Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"x"}}: field is immutable`)
}

// What others changed and no manifest ever named stays; what the last manifest
// named and this one does not goes.
func TestApplyKeepsOthersChanges(t *testing.T) {
	w := newTown(t)
	bare := strings.Replace(deploy, "  replicas: 3\n", "", 1)
	r := w.must(wire.Apply, bare, Created)
	w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Scale, Replicas: 7}, Item: wire.Item{Key: r.Key}})
	w.must(wire.Apply, strings.Replace(bare, "nginx:1", "nginx:2", 1), Configured)
	if n := *get[*appsv1.Deployment](w, r).Spec.Replicas; n != 7 {
		t.Errorf("%d replicas, the scale was undone", n)
	}
	w.must(wire.Apply, deploy, Configured)
	if n := *get[*appsv1.Deployment](w, r).Spec.Replicas; n != 3 {
		t.Errorf("%d replicas, the manifest says 3", n)
	}
	w.must(wire.Apply, bare, Configured)
	if n := *get[*appsv1.Deployment](w, r).Spec.Replicas; n != 1 {
		t.Errorf("%d replicas, what was taken out of the manifest falls back to the default", n)
	}
}

func TestApplyRemembersTheManifest(t *testing.T) {
	w := newTown(t)
	w.must(wire.Create, config, Created)
	// The same content, now applied: nothing changes, but the next apply knows it.
	w.must(wire.Apply, config, Unchanged)
	r := w.must(wire.Apply, strings.Replace(config, "a: b", "z: y", 1), Configured)
	if d := get[*corev1.ConfigMap](w, r).Data; len(d) != 1 || d["z"] != "y" {
		t.Errorf("data %v", d)
	}
}

func TestReplace(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Apply, config, Created)
	old := get[*corev1.ConfigMap](w, r).ResourceVersion
	w.must(wire.Replace, strings.Replace(config, "a: b", "x: y", 1), Replaced)
	if d := get[*corev1.ConfigMap](w, r).Data; len(d) != 1 || d["x"] != "y" {
		t.Errorf("data %v", d)
	}
	stale := strings.Replace(config, "name: c", "name: c, resourceVersion: '"+old+"'", 1)
	w.refused(w.do(wire.Replace, stale), metav1.StatusReasonConflict,
		`Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again`)
	if r := w.do(wire.Replace, strings.Replace(config, "name: c", "name: c, uid: other", 1)); r.Error == nil || r.Error.Reason != metav1.StatusReasonConflict {
		t.Errorf("another life: %+v", r)
	}
	fresh := get[*corev1.ConfigMap](w, r).ResourceVersion
	w.must(wire.Replace, strings.Replace(config, "name: c", "name: c, resourceVersion: '"+fresh+"'", 1), Replaced)
}

func TestScale(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Apply, deploy, Created)
	ask := func(n int32, current *int32) wire.Result {
		return w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Scale, Replicas: n, CurrentReplicas: current}, Item: wire.Item{Key: r.Key}})
	}
	if s := ask(5, nil); s.Outcome != Scaled || *get[*appsv1.Deployment](w, r).Spec.Replicas != 5 || get[*appsv1.Deployment](w, r).Generation != 2 {
		t.Errorf("scale: %+v", s)
	}
	three := int32(3)
	w.refused(ask(6, &three), metav1.StatusReasonConflict, `Operation cannot be fulfilled on deployments.apps "web": Expected replicas to be 3, was 5`)
	if s := ask(-1, nil); s.Error == nil || s.Error.Reason != metav1.StatusReasonInvalid {
		t.Errorf("negative: %+v", s)
	}
	seq := w.v.Seq
	if s := ask(5, nil); s.Outcome != Scaled || w.v.Seq != seq {
		t.Errorf("the same size: %+v", s)
	}
	c := w.must(wire.Create, config, Created)
	if s := w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Scale}, Item: wire.Item{Key: c.Key}}); s.Error == nil {
		t.Error("a ConfigMap was scaled")
	}
	gone := events.Key{Resource: events.Deployments, Namespace: "default", Name: "no"}
	w.refused(w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Scale}, Item: wire.Item{Key: gone}}), metav1.StatusReasonNotFound, `deployments.apps "no" not found`)
}

// A wish that landed is answered again, whatever happened since.
func TestRetry(t *testing.T) {
	w := newTown(t)
	docs, _ := manifest.Decode("f", []byte(strings.Replace(pod, "name: p", "generateName: p-", 1)))
	r := Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Create}, Item: wire.Item{Object: docs[0].JSON()}, Op: w.op("once")}
	first := Admit(w.v, r, start)
	w.fold("once", first.Drafts)
	again := Admit(w.v, r, start)
	if len(again.Drafts) != 0 || again.Result.Key != first.Result.Key || again.Result.UID != first.Result.UID || again.Result.Outcome != Created || again.Result.Seq != w.v.Seq {
		t.Errorf("first %+v, again %+v", first.Result, again.Result)
	}
}

// Asking without appending changes nothing, and says the same each time.
func TestAdmitIsPure(t *testing.T) {
	w := newTown(t)
	docs, _ := manifest.Decode("f", []byte(deploy))
	r := Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Apply}, Item: wire.Item{Object: docs[0].JSON()}, Op: w.op("x")}
	a, b := Admit(w.v, r, start), Admit(w.v, r, start)
	if string(events.MustBody(a)) != string(events.MustBody(b)) || len(a.Drafts) != 1 {
		t.Errorf("%+v\n%+v", a, b)
	}
}
