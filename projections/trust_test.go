package projections_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// Certificates of authorities, in the order of their bytes.
const anchorA = `-----BEGIN CERTIFICATE-----
MIH+MIGxoAMCAQICAQEwBQYDK2VwMA4xDDAKBgNVBAMTA29uZTAgFw0yNjAxMDEw
MDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowDjEMMAoGA1UEAxMDb25lMCowBQYDK2Vw
AyEAlBNXeUAI0avb8LabxNGWi1iCy06GgCSqPr+FW+o78eejMjAwMA8GA1UdEwEB
/wQFMAMBAf8wHQYDVR0OBBYEFEO6JN6wkJzOGjVK5UU4e7FyUrpWMAUGAytlcANB
AAgX+OtfqDU0YpVGy9p66dOypapzmJhgzmVuhCnGirpOJlWEY/vWvL0yRNflErUy
yN0KtmDXtoEmx2QVU6ZZaQE=
-----END CERTIFICATE-----
`
const anchorB = `-----BEGIN CERTIFICATE-----
MIH+MIGxoAMCAQICAQEwBQYDK2VwMA4xDDAKBgNVBAMTA3R3bzAgFw0yNjAxMDEw
MDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowDjEMMAoGA1UEAxMDdHdvMCowBQYDK2Vw
AyEAmS545CyR+QG/5n6xDEdpYfVNAX3gy31bpwoonAUEMGOjMjAwMA8GA1UdEwEB
/wQFMAMBAf8wHQYDVR0OBBYEFFvSq1kobIYF84wvQ5GMFeUL2IAUMAUGAytlcANB
AC7YRdZYjrPnrEP4NACTOnDpDWOk6HRpsSa1Q16PrYgc8LKEaWo3HEM674o02atT
95hkwohtQAX6kw+bPQCZIQA=
-----END CERTIFICATE-----
`
const anchorC = `-----BEGIN CERTIFICATE-----
MIIBAjCBtaADAgECAgEBMAUGAytlcDAQMQ4wDAYDVQQDEwV0aHJlZTAgFw0yNjAx
MDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowEDEOMAwGA1UEAxMFdGhyZWUwKjAF
BgMrZXADIQAKdOei4uRIp1ROJzVIFSnFaWWOVxDvhn5cfYLKB2QiGqMyMDAwDwYD
VR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQU9HOfNfdD0y3TVi6zA1bATOP5PgcwBQYD
K2VwA0EA/nTuBj7GC2doiX+XPbQ3ibWTT4/7zRdVOQr9Pdg53CpM+MTiDVo81U4S
KCr/j5Xcs8giwM6XBhV4WjDBaJ3cCQ==
-----END CERTIFICATE-----
`

func bundleKey(name string) events.Key { return events.Key{Resource: events.TrustBundles, Name: name} }

func bundle(signer, label string, anchors ...string) string {
	text := ""
	for _, a := range anchors {
		text += "words between them\n" + a
	}
	return string(events.MustBody(map[string]any{"metadata": map[string]any{"labels": map[string]string{"alive": label}}, "spec": map[string]string{"signerName": signer, "trustBundle": text}}))
}

// A node is told what its pods trust: a bundle by its name, or all of a signer's that a selector takes, each anchor once and
// in an order of its own; and again when any of it changes or goes.
func TestDesiredRowKnowsWhatIsTrusted(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	source := func(fields string) string { return `{"clusterTrustBundle":{` + fields + `,"path":"p"}}` }
	named, none := `"name":"plain"`, `"signerName":"example.com/one"`
	every, alive := none+`,"labelSelector":{}`, none+`,"labelSelector":{"matchLabels":{"alive":"yes"}}`
	k, other := foldtest.Key(events.Pods, "p"), foldtest.Key(events.Pods, "other")
	l.Create(other, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	l.Create(k, `{"spec":{"containers":[{"name":"c","image":"i"}],"volumes":[{"name":"v","projected":{"sources":[`+
		source(named)+","+source(none)+","+source(every)+","+source(alive)+`]}}]}}`)
	l.Assign("n1", k, other)
	trust := func() (map[string]string, events.Position) {
		t.Helper()
		d, ok := projections.DesiredRow(l.State, k)
		out := map[string]string{}
		for i, src := range []string{named, none, every, alive} {
			if data, ok := d.Trust[projections.TrustName(d.Pod.Spec.Volumes[0].Projected.Sources[i].ClusterTrustBundle)]; ok {
				out[src] = fmt.Sprint(data.Bundles, " ", data.Anchors)
			}
		}
		if !ok || len(out) != len(d.Trust) {
			t.Fatalf("%v, %d sources, %d told", ok, len(out), len(d.Trust))
		}
		return out, d.Position
	}
	told := func(what string, want map[string]string) {
		t.Helper()
		if got := projections.NodeChanges(l.State, l.Changes); !reflect.DeepEqual(got, []projections.NodeRows{{Node: "n1", Pods: []events.Key{k}}}) {
			t.Errorf("%s: told %+v", what, got)
		}
		if got, _ := trust(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if got, _ := trust(); len(got) != 0 {
		t.Errorf("nothing is there: %v", got)
	}
	l.Create(bundleKey("plain"), bundle("", "yes", anchorC))
	told("by name", map[string]string{named: "1 " + anchorC})
	l.Create(bundleKey("example.com:one:b"), bundle("example.com/one", "yes", anchorC, anchorA))
	l.Create(bundleKey("example.com:one:a"), bundle("example.com/one", "no", anchorB, anchorA))
	want := map[string]string{named: "1 " + anchorC, every: "2 " + anchorA + anchorB + anchorC, alive: "1 " + anchorA + anchorC}
	told("by signer", want)
	_, before := trust()
	l.Change(bundleKey("plain"), foldtest.Person, bundle("", "no", anchorA))
	want[named] = "1 " + anchorA
	told("another anchor", want)
	if _, after := trust(); after <= before {
		t.Errorf("the row is of %d, then of %d", before, after)
	}
	l.Remove(bundleKey("example.com:one:b"))
	delete(want, alive)
	want[every] = "1 " + anchorA + anchorB
	told("one went", want)
	l.Create(bundleKey("example.com:two:a"), bundle("example.com/two", "yes", anchorC))
	if got := projections.NodeChanges(l.State, l.Changes); len(got) != 0 {
		t.Errorf("a bundle that nobody trusts: %+v", got)
	}
}
