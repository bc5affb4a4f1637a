package events

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func keys() *rapid.Generator[Key] {
	return rapid.Custom(func(t *rapid.T) Key {
		return Key{Resource: Resource(rapid.StringN(1, 12, -1).Draw(t, "resource")), Namespace: rapid.StringN(0, 12, -1).Draw(t, "namespace"),
			Name: rapid.StringN(1, 20, -1).Draw(t, "name")}
	})
}

var tokens = regexp.MustCompile(`^[a-z]+(\.[a-z0-9=-]+)+$`)

// Any key, whatever is in its names, comes back from each of its subjects, and
// no character of it means something to the log.
func TestSubjectsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := keys().Draw(t, "key")
		for class, s := range map[string]Subject{"spec": SpecSubject(k), "status": StatusSubject(k), "verdict": VerdictSubject(k)} {
			have, err := s.Key()
			if err != nil || have != k || s.Class() != class || !tokens.MatchString(string(s)) {
				t.Fatalf("%+v became %s, which is %+v, class %s: %v", k, s, have, s.Class(), err)
			}
		}
		if have, err := LiveSubject(k).Key(); err != nil || have != k {
			t.Fatalf("%s is %+v: %v", LiveSubject(k), have, err)
		}
	})
}

func TestSubjectsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := keys().Draw(t, "a"), keys().Draw(t, "b")
		if a != b && SpecSubject(a) == SpecSubject(b) {
			t.Fatalf("%+v and %+v share %s", a, b, SpecSubject(a))
		}
	})
}

func TestSubjects(t *testing.T) {
	for want, have := range map[string]Subject{
		"log.spec.pods.default.web-1":         SpecSubject(Key{Pods, "default", "web-1"}),
		"log.spec.nodes.=.n1":                 SpecSubject(Key{Nodes, "", "n1"}),
		"log.spec.deployments=2eapps.a.b=2ec": SpecSubject(Key{Deployments, "a", "b.c"}),
		"log.assign.n1=2ex":                   AssignSubject("n1.x"),
		"log.seen.n1":                         SeenSubject("n1"),
		"log.assign.=":                        AssignSubject(""),
		"log.template.ab":                     TemplateSubject("ab"),
		"live.node.n1":                        NodeFeedSubject("n1"),
		"live.net.services.a.b":               NetFeedSubject(Key{Services, "a", "b"}),
	} {
		if string(have) != want {
			t.Errorf("have %s, want %s", have, want)
		}
	}
	if n, err := AssignSubject("n1.x").Tail(); err != nil || n != "n1.x" {
		t.Errorf("tail %s, %v", n, err)
	}
	for _, bad := range []Subject{"", "log", "log.spec.pods", "log.spec.pods.a.b.c", "log.spec.pods.a.=2", "log.spec.pods.a.=zz", "log.spec.=2.a.b", "log.spec.pods.=x.b"} {
		if k, err := bad.Key(); err == nil {
			t.Errorf("%q is read as %v", bad, k)
		}
	}
	if _, err := Subject("log.seen.=4").Tail(); err == nil {
		t.Error("a cut off escape is read")
	}
}

func TestKeysComeBack(t *testing.T) {
	for _, k := range []Key{{Pods, "a", "b"}, {Nodes, "", "n"}} {
		if have, err := ParseKey(k.String()); err != nil || have != k {
			t.Errorf("%s is %+v, %v", k, have, err)
		}
	}
	for _, bad := range []string{"", "a", "a/b/c/d"} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
	if !(Key{}).IsZero() || (Key{Name: "x"}).IsZero() {
		t.Error("IsZero")
	}
}

// Positions order events first, rows of one event second.
func TestPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq := Seq(rapid.Uint64Range(0, 1<<47).Draw(t, "seq"))
		row := rapid.IntRange(0, MaxRows-1).Draw(t, "row")
		p := At(seq, row)
		if p.Seq() != seq || p >= At(seq+1, 0) || row > 0 && p <= At(seq, row-1) {
			t.Fatalf("%d, %d is %s", seq, row, p)
		}
	})
}

// What an envelope says comes back from its headers, whatever a person wrote.
func TestHeadersComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Envelope{
			Type: Type(rapid.StringMatching(`[a-z.]{1,20}`).Draw(t, "type")), Version: rapid.IntRange(0, 9).Draw(t, "version"),
			Actor: Actor(rapid.StringMatching(`[a-z:]{0,20}`).Draw(t, "actor")), Cause: Seq(rapid.Uint64().Draw(t, "cause")),
			Basis: Seq(rapid.Uint64().Draw(t, "basis")), Epoch: Seq(rapid.Uint64().Draw(t, "epoch")),
			Op: OpID(rapid.StringMatching(`[0-9a-f]{0,32}`).Draw(t, "op")), Reconciler: rapid.StringMatching(`[a-z/0-9]{0,9}`).Draw(t, "reconciler"),
			Message: rapid.String().Draw(t, "message"),
		}
		if rapid.Bool().Draw(t, "has now") {
			e.Now = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanos")).UTC()
		}
		headers := map[string]string{}
		for _, h := range e.Headers() {
			if strings.ContainsAny(h.Value, "\r\n") || h.Value == "" {
				t.Fatalf("header %s: %q", h.Name, h.Value)
			}
			headers[h.Name] = h.Value
		}
		var have Envelope
		if err := have.FromHeaders(func(n string) string { return headers[n] }); err != nil {
			t.Fatal(err)
		}
		if string(MustBody(have)) != string(MustBody(e)) {
			t.Fatalf("have %+v, want %+v", have, e)
		}
	})
}

func TestBadHeaders(t *testing.T) {
	for name, value := range map[string]string{headerVersion: "x", headerCause: "-1", headerBasis: "1e3", headerEpoch: " ", headerNow: "yesterday", headerMessage: "unquoted"} {
		var e Envelope
		err := e.FromHeaders(func(n string) string {
			if n == name {
				return value
			}
			return ""
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %q gives %v", name, value, err)
		}
	}
}

func TestDecodeSaysWhere(t *testing.T) {
	_, err := Decode[Removed](Envelope{Type: "pods.removed", Seq: 7, Body: json.RawMessage("{")})
	if err == nil || !strings.Contains(err.Error(), "pods.removed at 7") {
		t.Errorf("error %v", err)
	}
}

// names are all words that mean a kind.
func (k Kind) names() []string {
	out := append([]string{k.Plural(), k.Singular}, k.Short...)
	for _, n := range []string{k.Plural(), k.Singular} {
		if k.Group != "" {
			out = append(out, n+"."+k.Group)
		}
		out = append(out, strings.TrimSuffix(n+"."+k.Version+"."+k.Group, "."))
	}
	return out
}

func TestKinds(t *testing.T) {
	taken := map[string]string{}
	for _, k := range Kinds {
		for _, typed := range k.names() {
			if taken[typed] != "" && taken[typed] != k.Name { // the plural of Endpoints is its singular
				t.Errorf("%q is %s and %s", typed, taken[typed], k.Name)
			}
			taken[typed] = k.Name
			if have, ok := KindNamed(strings.ToUpper(typed)); !ok || have.Name != k.Name {
				t.Errorf("%q is %v", typed, have.Name)
			}
		}
		if have, ok := KindOf(k.Resource); !ok || have.Name != k.Name {
			t.Errorf("%s is %s", k.Resource, have.Name)
		}
		if have, ok := KindFor(k.APIVersion(), k.Name); !ok || have.Resource != k.Resource {
			t.Errorf("%s %s is %s", k.APIVersion(), k.Name, have.Resource)
		}
		if o := k.New(); o.GetName() != "" || o == k.New() {
			t.Errorf("%s: New gives a used object", k.Name)
		}
	}
	for typed, want := range map[string]string{"po": "Pod", "deploy": "Deployment", "deployments.apps": "Deployment", "deployment.v1.apps": "Deployment", "svc": "Service", "services.v1": "Service",
		"deploy.apps": "Deployment", "deploy.v1.apps": "Deployment", "pods.v1.": "Pod", "po.": "Pod", "deployments.v1.": "Deployment", "deployments..apps": "Deployment", "ing.networking": "Ingress", "csr.certificates": "CertificateSigningRequest"} {
		if k, ok := KindNamed(typed); !ok || k.Name != want {
			t.Errorf("%s is %s", typed, k.Name)
		}
	}
	for _, typed := range []string{"cow", "", ".", ".v1", "deployments.v1", "deployments.v1.apps.", "deployments.v2.apps", "deployment.v1.app", "hpa.v2", "hpa.v3.autoscaling", "pods.metrics.k8s.io"} {
		if k, ok := KindNamed(typed); ok {
			t.Errorf("%q is %s", typed, k.Name)
		}
	}
	for typed, version := range map[string]string{"hpa": "v2", "hpa.v1.autoscaling": "v1", "hpa.v2.autoscaling": "v2", "hpa.autoscaling": "v2", "hpa.auto": "v2"} {
		if k, ok := KindNamed(typed); !ok || k.Resource != Autoscalers || k.Version != version {
			t.Errorf("%s is %s %s", typed, k.Resource, k.Version)
		}
	}
	d, _ := KindOf(Deployments)
	p, _ := KindOf(Pods)
	if d.Plural() != "deployments" || d.Printed() != "deployment.apps" || p.Printed() != "pod" || d.APIVersion() != "apps/v1" || p.APIVersion() != "v1" {
		t.Errorf("%s %s %s %s", d.Plural(), d.Printed(), p.Printed(), d.APIVersion())
	}
}

func TestTypes(t *testing.T) {
	if TypeOf(Deployments, VerbCreated) != "deployments.apps.created" || TypeOf(Deployments, VerbCreated).Verb() != "created" || LeaseTaken.Verb() != "taken" {
		t.Error("types")
	}
	if User("a") != "user:a" || Controller("b") != "reconciler:b" || NodeActor("c") != "node:c" {
		t.Error("actors")
	}
}

func TestOperationIDs(t *testing.T) {
	k := Key{Pods, "a", "b"}
	base := NewOpID("c", "user:x", "r", k, 0)
	if base != NewOpID("c", "user:x", "r", k, 0) {
		t.Error("the same operation has two ids")
	}
	for _, other := range []OpID{NewOpID("d", "user:x", "r", k, 0), NewOpID("c", "user:y", "r", k, 0), NewOpID("c", "user:x", "s", k, 0),
		NewOpID("c", "user:x", "r", Key{Pods, "a", "c"}, 0), NewOpID("c", "user:x", "r", k, 1), NewOpID("cuser:x", "", "r", k, 0)} {
		if other == base {
			t.Error("two operations have one id")
		}
	}
	uid := NewUID(base)
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(string(uid)) {
		t.Errorf("%s is no UUIDv8", uid)
	}
	if HashOf([]byte("")) != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Error("hash")
	}
}

// Names of an owner's children never meet, and begin elsewhere for each owner.
func TestChildSuffixes(t *testing.T) {
	seen := map[string]uint64{}
	for n := range uint64(200_000) {
		s := ChildSuffix("owner", n)
		if first, twice := seen[s]; twice {
			t.Fatalf("%d and %d are both %s", first, n, s)
		}
		if len(s) != suffixLen || strings.Trim(s, nameAlphabet) != "" {
			t.Fatalf("suffix %q", s)
		}
		seen[s] = n
	}
	if ChildSuffix("owner", 0) != ChildSuffix("owner", suffixes) {
		t.Error("the counter wraps at 27⁵")
	}
	if ChildSuffix("a", 1) == ChildSuffix("b", 1) {
		t.Error("two owners begin alike")
	}
	if s := SafeEncode("0123456789abcdef"); strings.Trim(s, nameAlphabet) != "" || len(s) != 16 {
		t.Errorf("encoded %q", s)
	}
}

func TestReasonsInWords(t *testing.T) {
	r := Reason{Code: "TooFewCPUs", About: Key{Nodes, "", "n1"}, What: "cpu", Need: "2", Have: "1", Said: "no", Fix: "ask for less"}
	if have, want := r.String(), "n1: TooFewCPUs cpu, need 2, have 1: no (ask for less)"; have != want {
		t.Errorf("have %s, want %s", have, want)
	}
	if have := (Reason{Code: "X"}).String(); have != "X" {
		t.Errorf("have %s", have)
	}
}
