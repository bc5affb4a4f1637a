package projections

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// ClusterKey is the ConfigMap that says what the cluster is. Bootstrap writes
// it once, from Cluster.Data.
var ClusterKey = events.Key{Resource: events.ConfigMaps, Namespace: "kube-system", Name: "stave-cluster"}

// Cluster is what all nodes of a cluster agree on. Its zero value stands for a
// log that was not bootstrapped.
type Cluster struct {
	Name        string
	PodCIDR     string // pods get their addresses from the nodes' parts of it
	ServiceCIDR string // services get their cluster IPs from it
	DNS         string // the cluster DNS service's address, inside ServiceCIDR
	Domain      string // "cluster.local"
}

// The keys of the ConfigMap.
const (
	clusterName        = "clusterName"
	clusterPodCIDR     = "podCIDR"
	clusterServiceCIDR = "serviceCIDR"
	clusterDNS         = "dnsAddress"
	clusterDomain      = "domain"
)

// Data is the content of the ConfigMap at ClusterKey.
func (c Cluster) Data() map[string]string {
	return map[string]string{clusterName: c.Name, clusterPodCIDR: c.PodCIDR, clusterServiceCIDR: c.ServiceCIDR,
		clusterDNS: c.DNS, clusterDomain: c.Domain}
}

// Cluster reads what Data wrote.
func (s State) Cluster() Cluster {
	o, ok := s.Get(ClusterKey)
	if !ok {
		return Cluster{}
	}
	d := As[*corev1.ConfigMap](o).Data
	return Cluster{Name: d[clusterName], PodCIDR: d[clusterPodCIDR], ServiceCIDR: d[clusterServiceCIDR],
		DNS: d[clusterDNS], Domain: d[clusterDomain]}
}
