package projections_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func key(r events.Resource, name string) events.Key { return foldtest.Key(r, name) }

// Who gets a token: the pod's word before the account's, and nobody without an API.
func TestWhoMountsAToken(t *testing.T) {
	for _, c := range []struct {
		name, spec, account string
		api, want           bool
	}{
		{"as usual", `{}`, `{}`, true, true},
		{"no API", `{}`, `{}`, false, false},
		{"no account yet", `{}`, ``, true, true},
		{"the account says no", `{}`, `{"automountServiceAccountToken":false}`, true, false},
		{"the pod says no", `{"automountServiceAccountToken":false}`, `{}`, true, false},
		{"the pod knows better", `{"automountServiceAccountToken":true}`, `{"automountServiceAccountToken":false}`, true, true},
	} {
		l := foldtest.New()
		if c.api {
			l.Create(projections.RootKey, `{"data":{"ca.crt":"x"}}`)
		}
		if c.account != "" {
			l.Create(key(events.Accounts, "default"), c.account)
		}
		l.Create(key(events.Pods, "p"), `{"spec":{"containers":[{"name":"c"},{"name":"d","volumeMounts":[{"name":"own","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]`+strings.TrimSuffix(","+c.spec[1:len(c.spec)-1], ",")+`}}`)
		o, _ := l.State.Object(key(events.Pods, "p"), time.Time{})
		pod := o.(*corev1.Pod)
		mounted := len(pod.Spec.Containers[0].VolumeMounts) == 1 && len(pod.Spec.Volumes) == 1
		if mounted != c.want || pod.Spec.ServiceAccountName != "default" {
			t.Errorf("%s: %+v as %q", c.name, pod.Spec.Volumes, pod.Spec.ServiceAccountName)
		}
		if own := pod.Spec.Containers[1].VolumeMounts; len(own) != 1 || own[0].Name != "own" {
			t.Errorf("%s: what a container mounts there itself became %v", c.name, own)
		}
		before := projections.As[*corev1.Pod](mustGet(t, l, key(events.Pods, "p")))
		if len(before.Spec.Containers[0].VolumeMounts) != 0 || before.Spec.ServiceAccountName != "" {
			t.Fatalf("%s: the row itself was changed: %+v", c.name, before.Spec)
		}
		again := pod.DeepCopy()
		projections.FillAccess(again, events.UID(pod.UID), c.want)
		if len(again.Spec.Volumes) != len(pod.Spec.Volumes) || len(again.Spec.Containers[0].VolumeMounts) != len(pod.Spec.Containers[0].VolumeMounts) {
			t.Errorf("%s: filled twice it is %+v", c.name, again.Spec)
		}
		projections.ForgetAccess(pod, before, events.UID(pod.UID))
		if string(events.MustBody(pod.Spec)) != string(events.MustBody(before.Spec)) {
			t.Errorf("%s: what comes back is\n%s\nnot\n%s", c.name, events.MustBody(pod.Spec), events.MustBody(before.Spec))
		}
	}
}

func mustGet(t *testing.T, l *foldtest.Log, k events.Key) *projections.Object {
	t.Helper()
	o, ok := l.State.Get(k)
	if !ok {
		t.Fatalf("no %s", k)
	}
	return o
}

// Every pod hears of the API, also one in another namespace that wants no links.
func TestEveryPodHearsOfTheAPI(t *testing.T) {
	l := foldtest.New()
	l.Create(projections.GatewayKey, `{"spec":{"clusterIP":"10.96.0.1","ports":[{"port":443}]}}`)
	l.Create(key(events.Services, "db"), `{"spec":{"clusterIP":"10.96.0.7","ports":[{"port":1}]}}`)
	l.Node("n1", events.NodeFacts{})
	for _, c := range []struct {
		namespace, spec string
		want            int
	}{{"default", `{}`, 2}, {"other", `{}`, 1}, {"default", `{"enableServiceLinks":false}`, 1}} {
		k := events.Key{Resource: events.Pods, Namespace: c.namespace, Name: "p"}
		l.Create(k, `{"spec":`+c.spec+`}`)
		l.Assign("n1", k)
		row, ok := projections.DesiredRow(l.State, k)
		if !ok || len(row.Services) != c.want || row.Services[0].Name != "kubernetes" {
			t.Errorf("%s %s: %v %+v", c.namespace, c.spec, ok, row.Services)
		}
		l.Remove(k)
	}
}

// Images are pulled with the pod's own Secrets, or else with its account's; a node
// is told of them, and again when one of them comes.
func TestPullSecrets(t *testing.T) {
	l := foldtest.New()
	l.Create(key(events.Accounts, "default"), `{"imagePullSecrets":[{"name":"theirs"}]}`)
	l.Node("n1", events.NodeFacts{})
	for spec, want := range map[string]string{`{"containers":[{"name":"c"}]}`: "theirs", `{"imagePullSecrets":[{"name":"mine"}],"containers":[{"name":"c"}]}`: "mine"} {
		k := key(events.Pods, "p")
		l.Create(k, `{"spec":`+spec+`}`)
		l.Assign("n1", k)
		row, _ := projections.DesiredRow(l.State, k)
		o, _ := l.State.Object(k, time.Time{})
		if row.Pod.Spec.ImagePullSecrets[0].Name != want || o.(*corev1.Pod).Spec.ImagePullSecrets[0].Name != want {
			t.Errorf("%s: %v", spec, row.Pod.Spec.ImagePullSecrets)
		}
		secret := key(events.Secrets, want)
		seq := l.Create(secret, `{"data":{}}`)
		s, _ := l.State.Get(secret)
		if rows := projections.NodeChanges(l.State, []projections.Change{{Key: secret, After: s}}); len(rows) != 1 || rows[0].Pods[0] != k {
			t.Errorf("%s: a Secret that came at %d wakes %v", spec, seq, rows)
		}
		if row, _ = projections.DesiredRow(l.State, k); len(row.Secrets) != 1 {
			t.Errorf("%s: the node gets %v", spec, row.Secrets)
		}
		before := projections.As[*corev1.Pod](mustGet(t, l, k))
		sent := o.(*corev1.Pod)
		sent.Spec.NodeName = "" // which admission takes out
		projections.ForgetAccess(sent, before, events.UID(sent.UID))
		if string(events.MustBody(sent.Spec)) != string(events.MustBody(before.Spec)) {
			t.Errorf("%s: it comes back as %s", spec, events.MustBody(sent.Spec))
		}
		l.Remove(secret)
		l.Remove(k)
	}
}
