package events

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plainBodies are the bodies that read themselves.
var plainBodies = []func() plainly{
	func() plainly { return &Created{} }, func() plainly { return &Changed{} }, func() plainly { return &DeletionRequested{} },
	func() plainly { return &Removed{} }, func() plainly { return &Assigned{} }, func() plainly { return &Seen{} },
}

// agree holds that what is read plainly is what encoding/json reads.
func agree(t interface{ Fatalf(string, ...any) }, body []byte) (plain int) {
	for _, shape := range plainBodies {
		got, want := shape(), shape()
		if !readPlainly(body, got) {
			continue
		}
		plain++
		if err := json.Unmarshal(body, want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nread plainly %#v\nencoding/json %#v, %v", body, got, want, err)
		}
	}
	return plain
}

// words are what texts of drawn bodies are made of: much of it has to be escaped or put right.
var words = []string{"", "web-1", "default", "pods", "deployments.apps", "sandbox", "started", "ready", "Grüße", "a\"b", `a\b`, "<&>", "\n", "\u2028", "\xff", "{}", "null", "0"}

func drawBody(t *rapid.T) any {
	n := func(most int, what string) int { return rapid.IntRange(0, most).Draw(t, what) }
	word := func() string { return rapid.SampledFrom(words).Draw(t, "word") }
	raw := func() json.RawMessage {
		return json.RawMessage(rapid.SampledFrom([]string{`{}`, `{"a":{"b":[1,"x",true,false,null,{}]}}`, `null`, `[]`, `"x\n\\"`, `"\u00e4"`, `-1`, `1.5e3`, `{"a":01}`, ` {} `, `{"a":1,}`, "\"\x01\""}).Draw(t, "raw"))
	}
	at := func() time.Time {
		if n(4, "no time") == 0 {
			return time.Time{}
		}
		return time.Unix(int64(n(1<<31, "s")), int64(n(999_999_999, "ns"))).In(rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 3600)}).Draw(t, "zone"))
	}
	owner := func() *Owner {
		if n(1, "owner") == 0 {
			return nil
		}
		return &Owner{Resource(word()), word(), UID(word())}
	}
	refs := func() (out []Ref) {
		for range n(2, "refs") {
			out = append(out, Ref{Key{Resource(word()), word(), word()}, UID(word())})
		}
		return out
	}
	switch n(5, "shape") {
	case 0:
		return Created{UID: UID(word()), Owner: owner(), Template: Hash(word()), Object: raw(), Applied: raw(), Set: word()}
	case 1:
		return Changed{UID: UID(word()), Generation: int64(n(1<<40, "generation")), Owner: owner(), Object: raw(), Managed: raw()}
	case 2:
		d := DeletionRequested{UID: UID(word()), Grace: int64(n(100, "grace")) - 1, Orphan: n(1, "orphan") == 1, Foreground: n(1, "foreground") == 1, Force: n(3, "force") == 1}
		if by := refs(); len(by) > 0 {
			d.For = by[0]
		}
		return d
	case 3:
		return Removed{UID(word()), n(1, "shred") == 1}
	case 4:
		return Assigned{refs(), refs()}
	}
	s := Seen{}
	for range n(2, "pods") {
		p := PodSeen{Namespace: word(), Name: word(), UID: UID(word()), Assigned: Seq(n(1<<40, "assigned"))}
		for range n(2, "facts") {
			p.Facts = append(p.Facts, Fact{Kind: FactKind(word()), At: at(), Container: word(), Run: n(3, "run"), Image: word(), ImageID: word(), ContainerID: word(),
				IP: word(), HostIP: word(), Code: n(300, "code") - 1, Signal: n(15, "signal"), OOM: n(1, "oom") == 1, Reason: word(), Message: word(),
				Tail: word(), StartedAt: at(), Until: at(), Took: int64(n(1<<30, "took")), Count: n(9, "count"), Limit: word(), Victim: word()})
		}
		s.Pods = append(s.Pods, p)
	}
	return s
}

// Bodies read plainly are read as encoding/json reads them: those that we write, and what a few changed bytes make of them.
func TestPlainAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(drawBody(t))
		if err != nil {
			t.Skip("no JSON")
		}
		agree(t, body)
		for range rapid.IntRange(0, 8).Draw(t, "changes") {
			i := rapid.IntRange(0, len(body)-1).Draw(t, "where")
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
				body[i] = rapid.SampledFrom([]byte(`{}[]",:0123456789-+.eEntfu\ x`+"\x00\xff")).Draw(t, "byte")
			case 1:
				body = append(body[:i:i], body[i+1:]...)
			case 2:
				j := rapid.IntRange(i, len(body)).Draw(t, "to")
				body = []byte(string(body[:j]) + string(body[i:j]) + string(body[j:])) // said twice
			case 3:
				body = body[:i+1]
			}
			if len(body) == 0 {
				return
			}
			agree(t, body)
		}
	})
}

// FuzzPlain is the same for bytes that nobody drew.
func FuzzPlain(f *testing.F) {
	for _, body := range commonBodies() {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) { agree(t, body) })
}

// commonBodies are those of which a log holds most.
func commonBodies() [][]byte {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	uid := NewUID("op")
	pod := Ref{Key{Pods, "default", "web-7d9f8c6b5-abcde"}, uid}
	return [][]byte{
		MustBody(Created{UID: uid, Owner: &Owner{ReplicaSets, "web-7d9f8c6b5", uid}, Template: "ab12", Object: []byte(`{"metadata":{"labels":{"a":"b"}}}`)}),
		MustBody(Changed{UID: uid, Generation: 3, Object: []byte(`{"spec":{"replicas":3}}`), Applied: []byte(`{}`)}),
		MustBody(DeletionRequested{UID: uid, Grace: 30}), MustBody(Removed{UID: uid}),
		MustBody(Assigned{Pods: []Ref{pod, pod}}), MustBody(Assigned{Withdrawn: []Ref{pod}}),
		MustBody(Seen{Pods: []PodSeen{{Namespace: "default", Name: pod.Name, UID: uid, Assigned: 12345, Facts: []Fact{
			{Kind: FactSandbox, At: at, IP: "10.244.0.9", HostIP: "10.0.0.1"},
			{Kind: FactPulled, At: at, Container: "nginx", Run: 1, Image: "docker.io/library/nginx:1.14", ImageID: "sha256:aa", Took: 1200},
			{Kind: FactStarted, At: at, Container: "nginx", Run: 1, ContainerID: "c1"},
			{Kind: FactExited, At: at, Container: "nginx", Run: 1, Code: 137, Signal: 9, OOM: true, Reason: "OOMKilled", Tail: "the end", StartedAt: at},
			{Kind: FactReady, At: at, Container: "nginx", Run: 1},
		}}}}),
	}
}

// The common bodies do not need encoding/json: else nothing is gained.
func TestCommonBodiesArePlain(t *testing.T) {
	for _, body := range commonBodies() {
		if agree(t, body) == 0 {
			t.Errorf("read by reflection: %s", body)
		}
	}
}

// Each field of a body that reads itself is read where it stands.
func TestPlainKnowsEveryField(t *testing.T) {
	for _, shape := range plainBodies {
		v := shape()
		fill(reflect.ValueOf(v).Elem())
		if s, ok := v.(*Seen); ok {
			s.Node, s.Volumes = nil, nil // left to encoding/json
		}
		body := MustBody(v)
		if got := shape(); !readPlainly(body, got) || !reflect.DeepEqual(got, v) {
			t.Errorf("a field is new, or moved: %s is read as %s", body, MustBody(got))
		}
	}
}

// fill gives a value and all below it something that is not zero.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case json.RawMessage:
		v.SetBytes([]byte(`{}`))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Map:
	default:
		panic(fmt.Sprint("what is a ", v.Type()))
	}
}

// BenchmarkDecode is one flush of a node.
func BenchmarkDecode(b *testing.B) {
	all := commonBodies()
	body := all[len(all)-1]
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if !readPlainly(body, &Seen{}) {
				b.Fatal("not plain")
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			if err := json.Unmarshal(body, &Seen{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
