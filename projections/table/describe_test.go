package table_test

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
)

// All that kubectl tells of a template: what runs before it, as whom, spread over what, and what its volumes hold.
func TestDescribedTemplates(t *testing.T) {
	l := foldtest.New()
	k := foldtest.Key(events.Deployments, "rich")
	const spec = `{"serviceAccountName":"builder","priorityClassName":"high",
		"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"rich"}}},{"maxSkew":2,"topologyKey":"host","whenUnsatisfiable":"ScheduleAnyway"}],
		"initContainers":[{"name":"first","image":"i","command":["true"]}],
		"containers":[{"name":"c","image":"i","envFrom":[{"configMapRef":{"name":"m"},"prefix":"P_"}],"volumeMounts":[{"name":"b","mountPath":"/b"},{"name":"a","mountPath":"/a"}]}],
		"volumes":[{"name":"a","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"t"}},{"configMap":{"name":"ca"}},{"secret":{"name":"s","optional":true}},{"downwardAPI":{}}]}},
			{"name":"b","downwardAPI":{"items":[{"path":"l","fieldRef":{"fieldPath":"metadata.labels"}},{"path":"m","resourceFieldRef":{"resource":"limits.cpu"}}]}}]}`
	l.Create(k, `{"spec":{"replicas":0,"selector":{"matchLabels":{"app":"rich"}},"template":{"metadata":{"labels":{"app":"rich"}},"spec":`+spec+`}}}`)
	pod := foldtest.Key(events.Pods, "rich")
	l.Create(pod, `{"spec":`+spec+`}`)
	got, _ := table.Describe(l.State, k, l.Now, nil)
	holds(t, got, "  Service Account:  builder\n  Init Containers:\n   first:\n    Image:", "\n  Containers:\n   c:", "  ConfigMap with prefix 'P_'  Optional: false",
		"      /a from a (rw)\n      /b from b (rw)\n", "(a volume that contains injected data from multiple sources)", "TokenExpirationSeconds:", "ConfigMapName:", "SecretName:", "DownwardAPI:",
		"      metadata.labels -> l\n      limits.cpu -> m\n",
		"  Topology Spread Constraints:  host:ScheduleAnyway when max skew 2 is exceeded\n                                zone:DoNotSchedule when max skew 1 is exceeded for selector app=rich\n",
		"  Priority Class Name:          high\n")
	got, _ = table.Describe(l.State, pod, l.Now, nil)
	holds(t, got, "Priority Class Name:  high\n", "TokenExpirationSeconds:")
}

// Nodes answer for the API themselves: its endpoints are told all the same.
func TestDescribedAPI(t *testing.T) {
	l := foldtest.New()
	k := foldtest.Key(events.Services, "kubernetes")
	l.Create(k, `{"spec":{"type":"ClusterIP","clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1"],"ports":[{"name":"https","protocol":"TCP","port":443,"targetPort":6443}]}}`)
	l.Node("n1", foldtest.Facts)
	l.Change(foldtest.Key(events.Nodes, "n1"), foldtest.Person, `{"spec":{"podCIDR":"10.244.0.0/24"}}`)
	got, _ := table.Describe(l.State, k, l.Now, nil)
	holds(t, got, "Endpoints:         10.244.0.1:6443\n")
}

func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}
