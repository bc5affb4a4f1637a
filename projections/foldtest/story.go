package foldtest

import (
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
)

// Facts are those of a small node.
var Facts = events.NodeFacts{Addresses: []string{"10.0.0.1"}, Hostname: "n1", PodCIDR: "10.244.0.0/24",
	Capacity:    map[string]string{"cpu": "2", "memory": "4Gi", "pods": "110"},
	Allocatable: map[string]string{"cpu": "1900m", "memory": "3Gi", "pods": "110"},
	OSImage:     "Debian GNU/Linux 13 (trixie)", Kernel: "6.12.0", Architecture: "amd64", ContainerRuntime: "containerd://2.4.2", AgentVersion: "v0.1.0"}

const template = `{"metadata":{"labels":{"app":"nginx"%s}},"spec":{"containers":[{"name":"nginx","image":"nginx:stable","imagePullPolicy":"IfNotPresent",` +
	`"resources":{},"ports":[{"name":"http","containerPort":80,"protocol":"TCP"}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],` +
	`"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}}`

// Template is the pod template of the nginx story, with more labels ("" or
// `,"k":"v"`).
func Template(labels string) string { return fmt.Sprintf(template, labels) }

// DeploymentJSON is the nginx deployment of seed 06 with its defaults.
func DeploymentJSON(replicas int, more string) string {
	return fmt.Sprintf(`{"metadata":{"labels":{"app":"nginx"},"annotations":{"deployment.kubernetes.io/revision":"1"}},"spec":{"replicas":%d,`+
		`"selector":{"matchLabels":{"app":"nginx"}},"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%%","maxUnavailable":"25%%"}},`+
		`"progressDeadlineSeconds":600,"revisionHistoryLimit":10%s,"template":%s}}`, replicas, more, Template(""))
}

// ReplicaSetJSON is the deployment's replica set.
func ReplicaSetJSON(replicas int, more string) string {
	return fmt.Sprintf(`{"metadata":{"labels":{"app":"nginx","pod-template-hash":"76769d88f7"},"annotations":{"deployment.kubernetes.io/revision":"1"}},`+
		`"spec":{"replicas":%d,"selector":{"matchLabels":{"app":"nginx","pod-template-hash":"76769d88f7"}}%s,"template":%s}}`,
		replicas, more, Template(`,"pod-template-hash":"76769d88f7"`))
}

// The names of the nginx story.
var (
	Deployment = Key(events.Deployments, "nginx")
	ReplicaSet = Key(events.ReplicaSets, "nginx-76769d88f7")
	Service    = Key(events.Services, "nginx-service")
)

// Pod is the story's nth pod.
func Pod(n int) events.Key { return Key(events.Pods, fmt.Sprintf("nginx-76769d88f7-%05d", n)) }

// Nginx is a cluster of one node that runs the nginx deployment behind its
// service: everything is up after five seconds.
func Nginx(replicas int) *Log {
	l := New()
	l.Lease("test")
	l.Create(Key(events.Namespaces, "default"), `{}`)
	l.Node("n1", Facts)
	l.Create(Service, `{"spec":{"type":"ClusterIP","clusterIP":"10.96.0.20","clusterIPs":["10.96.0.20"],"selector":{"app":"nginx"},`+
		`"sessionAffinity":"None","ports":[{"protocol":"TCP","port":80,"targetPort":"http"}]}}`)
	l.Pass(time.Minute)
	asked := l.Create(Deployment, DeploymentJSON(replicas, ""))
	rs := l.CreateChild(ReplicaSet, Deployment, asked, ReplicaSetJSON(replicas, ""))
	for i := range replicas {
		l.CreateChild(Pod(i), ReplicaSet, rs, Template(`,"pod-template-hash":"76769d88f7"`))
	}
	l.Pass(time.Second)
	for i := range replicas {
		l.Assign("n1", Pod(i))
	}
	l.Pass(4 * time.Second)
	for i := range replicas {
		l.Saw(Pod(i), Up("nginx", fmt.Sprintf("10.244.0.%d", i+5), l.Now)...)
	}
	return l
}
