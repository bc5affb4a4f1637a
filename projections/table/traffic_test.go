package table_test

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
)

// TestDescribeTraffic: a service says how far its traffic goes, and on which nodes that comes to nothing.
func TestDescribeTraffic(t *testing.T) {
	l := foldtest.Nginx(2) // on n1
	l.Node("n2", foldtest.Facts)
	for _, c := range []struct {
		policies   string
		want, lies []string
	}{
		{`"type":"NodePort","externalTrafficPolicy":"Cluster"`, []string{"External Traffic Policy: Cluster"}, []string{"Endpoints On:", "HealthCheck"}},
		{`"type":"LoadBalancer","externalTrafficPolicy":"Local","healthCheckNodePort":30700`,
			[]string{"External Traffic Policy: Local", "HealthCheck NodePort: 30700", "Endpoints On: n1 (2)", "No Endpoints On: n2"}, nil},
		{`"type":"ClusterIP","trafficDistribution":"PreferSameNode"`, []string{"Traffic Distribution: PreferSameNode", "No Endpoints On: n2"}, nil},
	} {
		l.Change(foldtest.Service, foldtest.Person, `{"spec":{"clusterIP":"10.96.0.20","selector":{"app":"nginx"},"ports":[{"protocol":"TCP","port":80,"targetPort":"http"}],`+c.policies+`}}`)
		page, _ := table.Describe(l.State, foldtest.Service, l.Now, nil)
		got := strings.Join(strings.Fields(page), " ")
		for _, part := range c.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: no %q in\n%s", c.policies, part, page)
			}
		}
		for _, part := range c.lies {
			if strings.Contains(got, part) {
				t.Errorf("%s: %q in\n%s", c.policies, part, page)
			}
		}
	}
}
