package why_test

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/projections/foldtest"
)

// TestNodesWithoutEndpoints: all of a service looks well, and on some nodes nobody gets an answer.
func TestNodesWithoutEndpoints(t *testing.T) {
	l := foldtest.Nginx(2) // on n1
	l.Node("n2", foldtest.Facts)
	for _, c := range []struct {
		policies   string
		want, lies []string
	}{
		{`"type":"NodePort"`, nil, []string{"ready endpoints are on", "Local"}},
		{`"type":"NodePort","externalTrafficPolicy":"Local"`, []string{"ready endpoints are on n1 (2)", "what comes from outside to n2 is dropped"}, []string{"internalTrafficPolicy"}},
		{`"type":"NodePort","externalTrafficPolicy":"Local","internalTrafficPolicy":"Local"`, []string{"what comes from outside to n2 is dropped", "who asks its ClusterIP on n2 is refused"}, nil},
	} {
		l.Change(foldtest.Service, foldtest.Person, `{"spec":{"clusterIP":"10.96.0.20","selector":{"app":"nginx"},"ports":[{"protocol":"TCP","port":80,"targetPort":"http"}],`+c.policies+`}}`)
		got := ask(l, foldtest.Service).String()
		for _, part := range c.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: no %q in\n%s", c.policies, part, got)
			}
		}
		for _, part := range c.lies {
			if strings.Contains(got, part) {
				t.Errorf("%s: %q in\n%s", c.policies, part, got)
			}
		}
	}
	l.Delete(foldtest.Pod(0), foldtest.Person, 30)
	l.Delete(foldtest.Pod(1), foldtest.Person, 30)
	if got := ask(l, foldtest.Service).String(); !strings.Contains(got, "ready endpoints are on no node") || strings.Contains(got, "dropped") {
		t.Errorf("nobody is ready anywhere:\n%s", got)
	}
}
