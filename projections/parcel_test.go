package projections_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// sent is a set as its node has it, after the wires.
func sent(t interface{ Fatal(...any) }, s projections.State, node string, h *projections.Shelf) (raw []byte, set projections.DesiredSet) {
	set = projections.DesiredFor(s, node)
	set.Pack(s)
	raw = events.MustBody(set)
	set = projections.DesiredSet{}
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	if err := h.Unpack(set.Pods, set.Bodies); err != nil {
		t.Fatal(err)
	}
	return raw, set
}

const packedBody = `{"metadata":{"labels":{"app":"%s"},"annotations":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"of-%s","resources":{"requests":{"cpu":"100m"}}}]}}`

// crowd is a node with pods of templates: bare ones, and ones with something of their own.
func crowd(pods ...[2]string) *foldtest.Log {
	l := foldtest.New()
	l.Node("n1", foldtest.Facts)
	l.Create(foldtest.Key(events.Accounts, "default"), `{"imagePullSecrets":[{"name":"pull"}]}`)
	for i, p := range pods {
		body := fmt.Appendf(nil, packedBody, p[0], p[0])
		hash := events.HashOf(body)
		if _, ok := l.State.Template(hash); !ok {
			l.Add(events.Envelope{Subject: events.TemplateSubject(hash), Type: events.TemplateStored, Body: body})
		}
		k := foldtest.Key(events.Pods, fmt.Sprint("p", i))
		l.Spec(k, events.VerbCreated, foldtest.Person, 0, events.Created{UID: foldtest.UID(k, 1), Template: hash, Object: []byte(p[1])})
		l.Assign("n1", k)
	}
	return l
}

var differences = []string{`{}`, `{"metadata":{"generateName":"web-"}}`, `{"metadata":{"labels":{"x":"y"}}}`, `{"metadata":{"annotations":{"a":"c"}}}`,
	`{"spec":{"hostname":"own"}}`, `{"spec":{"imagePullSecrets":[{"name":"other"}]}}`}

func TestAPackedSetIsReadAsItWas(t *testing.T) {
	shelf := &projections.Shelf{} // of one node, over all that it reads
	rapid.Check(t, func(t *rapid.T) {
		pod := rapid.Custom(func(t *rapid.T) [2]string {
			return [2]string{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "template"), rapid.SampledFrom(differences).Draw(t, "own")}
		})
		l := crowd(rapid.SliceOfN(pod, 0, 8).Draw(t, "pods")...)
		want := events.MustBody(projections.DesiredFor(l.State, "n1").Pods)
		_, set := sent(t, l.State, "n1", shelf)
		if have := events.MustBody(set.Pods); !bytes.Equal(have, want) {
			t.Fatalf("read\n%s\nwant\n%s", have, want)
		}
	})
}

func TestABodyIsSentOnce(t *testing.T) {
	l := crowd([2]string{"web", `{}`}, [2]string{"web", `{}`}, [2]string{"web", `{"spec":{"hostname":"own"}}`})
	raw, set := sent(t, l.State, "n1", &projections.Shelf{})
	if n := strings.Count(string(raw), `"image":"of-web"`); n != 2 {
		t.Errorf("the image is sent %d times, want once for those that share it and once for the other: %s", n, raw)
	}
	if len(set.Pods) != 3 || set.Pods[0].Pod.Spec.NodeName != "n1" || set.Pods[0].Pod.Spec.ImagePullSecrets[0].Name != "pull" || set.Pods[2].Pod.Spec.Hostname != "own" {
		t.Errorf("read %+v", set.Pods)
	}
	if &set.Pods[0].Pod.Spec.Containers[0] != &set.Pods[1].Pod.Spec.Containers[0] {
		t.Error("two pods of one template have two specs")
	}
	if again := projections.DesiredFor(l.State, "n1").Pods[0].Pod; again.Labels["app"] != "web" || again.Spec.Containers[0].Image != "of-web" {
		t.Errorf("packing took it out of the state: %+v", again)
	}
}

func TestRowsThatNameWhatDidNotComeAreRefused(t *testing.T) {
	h := &projections.Shelf{}
	row := func() []projections.DesiredPod { return []projections.DesiredPod{{Template: "f00", Pod: corev1.Pod{}}} }
	for name, bodies := range map[string]projections.Bodies{"missing": nil, "damaged": {"f00": json.RawMessage(`[]`)}} {
		if err := h.Unpack(row(), bodies); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	if err := h.Unpack(row(), projections.Bodies{"f00": json.RawMessage(`{}`)}); err != nil {
		t.Error(err)
	}
}

func TestABeaconIsReadForOneNode(t *testing.T) {
	said := projections.Beacon{Epoch: 4, Durable: 90, Network: 12, Nodes: map[string]events.Position{"n1": 7, "n10": 8, "n": 9}}
	raw := events.MustBody(said)
	for node, want := range map[string]events.Position{"n1": 7, "n10": 8, "n": 9, "n2": 0, "": 0, `x":`: 0} {
		b, err := projections.ReadBeacon(raw, node)
		if err != nil || b.Epoch != 4 || b.Durable != 90 || b.Network != 12 || b.Nodes[node] != want || len(b.Nodes) > 1 {
			t.Errorf("%q reads %+v, %v", node, b, err)
		}
	}
	for _, bad := range []string{"", "{", `{"nodes":{"n1":"x"}}`, `{"epoch":-1}`, `{"nodes":[]}`} {
		if _, err := projections.ReadBeacon([]byte(bad), "n1"); err == nil {
			t.Errorf("%s: read", bad)
		}
	}
	if b, err := projections.ReadBeacon([]byte(`{"epoch":1}`), "n1"); err != nil || b.Nodes["n1"] != 0 {
		t.Error(b, err)
	}
	if b, err := projections.ReadBeacon([]byte(`{ "nodes" : { "n1" : 7 } }`), "n1"); err != nil || b.Nodes["n1"] != 7 {
		t.Error(b, err)
	}
}
