package why_test

import (
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

// What looks like a service, and leads nowhere: all its pods are ready, and none has the port.
func TestServicesOfNamelessPorts(t *testing.T) {
	l := foldtest.Nginx(2)
	for _, c := range []struct{ ports, want string }{
		{`{"port":80,"targetPort":"http"}`, "sends connections to 2 of its 2 pods\n"},
		{`{"port":80,"targetPort":"web"}`, "has no endpoints: none of its 2 pods has the port that it leads to; connections are refused\n  port 80 leads to the port named \"web\", and no container of its pods has one\nfix: give targetPort a number: stave edit service/nginx"},
		{`{"name":"a","port":80,"targetPort":80},{"name":"b","port":81,"targetPort":"web"}`, "sends connections to 2 of its 2 pods\n  port 81 leads to the port named \"web\""},
	} {
		l.Change(foldtest.Service, foldtest.Person, `{"spec":{"clusterIP":"10.96.0.20","selector":{"app":"nginx"},"ports":[`+c.ports+`]}}`)
		if got := ask(l, foldtest.Service).String(); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s", c.ports, got)
		}
		bad := strings.HasPrefix(c.want, "has no")
		if s := why.Look(survey(l)); (len(s.Problems) == 1) != bad {
			t.Errorf("%s: %+v", c.ports, s.Problems)
		}
	}
	l.Change(foldtest.Service, foldtest.Person, `{"spec":{"type":"LoadBalancer","clusterIP":"10.96.0.20","selector":{"app":"nginx"},"ports":[{"port":80,"targetPort":80,"nodePort":30080}]}}`)
	if got := ask(l, foldtest.Service).String(); !strings.Contains(got, "no load balancer has taken it up: from outside, port 30080 of each node leads to it") {
		t.Error(got)
	}
}

// Nobody writes the endpoints of the API, and there are some.
func TestTheAPIsService(t *testing.T) {
	l := foldtest.Nginx(1)
	k := foldtest.Key(events.Services, "kubernetes")
	l.Create(k, `{"spec":{"clusterIP":"10.96.0.1","ports":[{"port":443}]}}`)
	if got := ask(l, k).String(); !strings.Contains(got, "leads to the Kubernetes API: every node answers for it\n") {
		t.Error(got)
	}
}

// Autoscalers, budgets and ingresses say more than that they exist.
func TestWhatStandsBesideThePods(t *testing.T) {
	l := foldtest.Nginx(2)
	scaler, budget, way := foldtest.Key(events.Autoscalers, "a"), foldtest.Key(events.Budgets, "b"), foldtest.Key(events.Ingresses, "i")
	l.Create(scaler, `{"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"nope"},"minReplicas":1,"maxReplicas":3}}`)
	l.Create(budget, `{"spec":{"minAvailable":2,"selector":{"matchLabels":{"app":"nginx"}}}}`)
	l.Create(way, `{"spec":{"rules":[{"http":{"paths":[{"path":"/","backend":{"service":{"name":"nope"}}},{"path":"/n","backend":{"service":{"name":"nginx"}}}]}}]}}`)
	want := func(k events.Key, parts ...string) {
		t.Helper()
		got := ask(l, k).String()
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("no %q in\n%s", part, got)
			}
		}
	}
	condition := func(kind autoscalingv2.HorizontalPodAutoscalerConditionType, reason, said string) {
		l.Add(events.Envelope{Subject: events.StatusSubject(scaler), Type: events.TypeOf(scaler.Resource, events.VerbStatusWritten), Body: events.MustBody(events.StatusWritten{UID: foldtest.UID(scaler, 1), Status: events.MustBody(autoscalingv2.HorizontalPodAutoscalerStatus{
			Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: kind, Status: corev1.ConditionFalse, Reason: reason, Message: said}}})})})
	}
	want(scaler, "gives deployment/nope from 1 to 3 replicas", "waits for: the first figures of its pods")
	condition(autoscalingv2.AbleToScale, "FailedGetScale", `deployments.apps "nope" not found`)
	want(scaler, `does not scale deployment/nope: deployments.apps "nope" not found`, "waits for: deployment/nope", "fix: make deployment/nope, or name another target: stave edit horizontalpodautoscaler/a")

	want(budget, "lets no pod go: 2 of 2 pods are healthy, and 2 have to be", "fix: run more pods")
	l.Change(budget, foldtest.Person, `{"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"nginx"}}}}`)
	want(budget, "lets 1 pods go")
	l.Delete(foldtest.Pod(0), foldtest.Person, 30)
	l.Delete(foldtest.Pod(1), foldtest.Person, 30)
	want(budget, "lets no pod go: 0 of 2 pods are healthy, and 1 have to be", "waits for: 2 more pods to be ready", foldtest.Pod(0).Name+": ")
	l.Change(budget, foldtest.Person, `{"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"nobody"}}}}`)
	want(budget, "is about no pods", "fix: stave get pods --show-labels")

	want(way, "is served by nobody: it names no class", "  service/nope is not there\n", "fix: run one")
	l.Change(way, foldtest.Person, `{"spec":{"ingressClassName":"traefik","defaultBackend":{"service":{"name":"nginx"}}}}`)
	want(way, `is not served: there is no class "traefik"`, "stave get ingressclasses")
}

// An image that no push would help is not said to want one.
func TestFixesOfImages(t *testing.T) {
	for _, c := range []struct{ reason, said, want string }{
		{"ErrImagePull", `pull image "x": not found: nope`, "correct the image of pod/p, or push x to its registry"},
		{"InvalidImageName", `pull image "X": invalid name: no`, "fix: correct the image of pod/p\n"},
		{"ErrImageNeverPull", "", "bring it to n1 (stave image import FILE), or let imagePullPolicy of pod/p pull it"},
		{"ErrImagePull", `pull image "x": unreachable: no such host`, "see that n1 reaches the registry, or correct the image of pod/p"},
		{"ErrImagePull", `pull image "x": unauthorized: no`, "name a Secret with a login in imagePullSecrets of pod/p (stave create secret docker-registry), or correct"},
	} {
		l := foldtest.Nginx(1)
		k := foldtest.Key(events.Pods, "p")
		l.Create(k, `{"spec":{"containers":[{"name":"c","image":"x"}]}}`)
		l.Assign("n1", k)
		l.Saw(k, events.Fact{Kind: events.FactPullFailed, Container: "c", Image: "x", Reason: c.reason, Message: c.said},
			events.Fact{Kind: events.FactBackoff, Container: "c", Reason: c.reason, Message: c.said, Until: l.Now.Add(time.Minute)})
		if got := ask(l, k).String(); !strings.Contains(got, c.want) {
			t.Errorf("%s, %s:\n%s", c.reason, c.said, got)
		}
	}
}
