package table_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before committing it")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs\n--- got\n%s--- want\n%s", name, got, want)
	}
}

// story is the nginx cluster with everything that has a word of its own: a pod
// that is too big, a crash loop, a wrong image, one that leaves, one that is done.
func story() *foldtest.Log {
	l := foldtest.Nginx(3)
	big, crash, image, done := foldtest.Key(events.Pods, "big"), foldtest.Key(events.Pods, "crash"), foldtest.Key(events.Pods, "image"), foldtest.Key(events.Pods, "done")
	l.Create(big, `{"spec":{"containers":[{"name":"c","image":"busybox","resources":{"requests":{"cpu":"64","memory":"1Gi"}}}]}}`)
	l.Create(crash, `{"metadata":{"annotations":{"note":"falls"}},"spec":{"containers":[{"name":"c","image":"busybox","command":["sh","-c"],"args":["exit 3"],
		"resources":{"limits":{"cpu":"500m","memory":"64Mi"},"requests":{"cpu":"250m","memory":"64Mi"}},
		"env":[{"name":"A","value":"b"},{"name":"K","valueFrom":{"configMapKeyRef":{"name":"conf","key":"k"}}}],
		"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}]}}`)
	l.Create(image, `{"spec":{"containers":[{"name":"c","image":"nginx:nope"}]}}`)
	l.Create(done, `{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"busybox"}]}}`)
	l.Create(foldtest.Key(events.Budgets, "keep"), `{"spec":{"minAvailable":"50%","selector":{"matchLabels":{"app":"nginx"}}}}`)
	l.Create(foldtest.Key(events.ConfigMaps, "conf"), `{"data":{"k":"v","long":"a\nb"},"binaryData":{"b":"AAE="}}`)
	l.Create(foldtest.Key(events.Secrets, "db"), `{"type":"Opaque","data":{"password":"AHN0YXZlAVci+c58d7faMfhvUaGdWmtThONeXjVs9nq0K8EA/1h4LQOF","user":"YW5u"}}`) // one sealed, one plain
	l.Create(foldtest.Key(events.Jobs, "pi"), `{"metadata":{"labels":{"app":"pi"}},"spec":{"completions":3,"parallelism":2,"backoffLimit":6,"completionMode":"Indexed","suspend":false,
		"template":{"metadata":{"labels":{"app":"pi"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"perl","command":["perl","-e","1"]}]}}}}`)
	l.Create(foldtest.Key(events.DaemonSets, "logs"), `{"metadata":{"labels":{"app":"logs"},"annotations":{"deprecated.daemonset.template.generation":"1"}},"spec":{"selector":{"matchLabels":{"app":"logs"}},
		"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}},"template":{"metadata":{"labels":{"app":"logs"}},"spec":{"nodeSelector":{"kubernetes.io/os":"linux"},
		"containers":[{"name":"c","image":"fluentd"}],"tolerations":[{"key":"node-role.kubernetes.io/control-plane","operator":"Exists","effect":"NoSchedule"}]}}}}`)
	l.Create(foldtest.Key(events.Controllers, "old"), `{"metadata":{"labels":{"app":"old"}},"spec":{"replicas":2,"selector":{"app":"old"},"template":{"metadata":{"labels":{"app":"old"}},
		"spec":{"containers":[{"name":"c","image":"nginx"}]}}}}`)
	l.Create(foldtest.Key(events.CronJobs, "tidy"), `{"spec":{"schedule":"0 3 * * *","timeZone":"Europe/Berlin","suspend":false,"concurrencyPolicy":"Forbid","successfulJobsHistoryLimit":3,
		"failedJobsHistoryLimit":1,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"busybox"}]}}}}}}`)
	l.Create(foldtest.Key(events.Autoscalers, "web"), `{"metadata":{"labels":{"app":"web"}},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"nginx-deployment"},"minReplicas":2,"maxReplicas":9,
		"behavior":{"scaleDown":{"selectPolicy":"Max","stabilizationWindowSeconds":60,"policies":[{"type":"Percent","value":50,"periodSeconds":30}]}},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}},
		{"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"64Mi"}}},{"type":"Pods","pods":{"metric":{"name":"packets"},"target":{"type":"AverageValue","averageValue":"5"}}}]}}`)
	hpa, _ := l.State.Get(foldtest.Key(events.Autoscalers, "web"))
	percent := int32(180)
	for _, b := range []events.ScalerReported{{UID: hpa.UID, Measured: &events.ScalerMeasured{Generation: 1, Current: 3, Replicas: 9, Metrics: []events.ScalerMetric{{Replicas: 9, Utilization: &percent, Average: 180},
		{Replicas: 3, Average: 32 << 20 * 1000}, {Reason: "FailedGetPodsMetric", Said: "unable to get metric packets"}}}}, {UID: hpa.UID, Scaled: &events.ScalerScaled{From: 3, To: 6, Why: "cpu resource utilization (percentage of request) above target", Told: "cpu 180 % of 50 %"}}} {
		l.Add(events.Envelope{Subject: events.StatusSubject(hpa.Key), Type: events.TypeOf(events.Autoscalers, events.VerbStatus), Actor: events.Controller("autoscale"), Body: events.MustBody(b)})
	}
	l.Add(events.Envelope{Subject: events.StatusSubject(hpa.Key), Type: events.TypeOf(events.Autoscalers, events.VerbStatusWritten), Actor: events.Controller("autoscale"), Body: events.MustBody(events.StatusWritten{UID: hpa.UID,
		Status: []byte(`{"currentReplicas":3,"desiredReplicas":6,"currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":180,"averageValue":"180m"}}},{"type":"Resource","resource":{"name":"memory","current":{"averageValue":"32Mi"}}}],
		"conditions":[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"SucceededRescale","message":"the HPA controller was able to update the target scale to 6"}]}`)})})
	l.Create(foldtest.Key(events.NetworkPolicies, "db"), `{"metadata":{"labels":{"app":"db"}},"spec":{"podSelector":{"matchLabels":{"app":"db"},"matchExpressions":[{"key":"tier","operator":"In","values":["back","data"]}]},"policyTypes":["Ingress","Egress"],
		"ingress":[{"ports":[{"protocol":"TCP","port":5432},{"protocol":"SCTP","port":"bus"},{"protocol":"UDP"}],"from":[{"podSelector":{"matchLabels":{"app":"nginx"}},"namespaceSelector":{}},{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16","10.2.0.0/16"]}}]},{}],
		"egress":[{"ports":[{"protocol":"TCP","port":8000,"endPort":9000}],"to":[{"namespaceSelector":{"matchLabels":{"team":"a"}}},{"podSelector":{}},{"ipBlock":{"cidr":"192.0.2.0/24"}}]}]}}`)
	l.Create(foldtest.Key(events.NetworkPolicies, "shut"), `{"metadata":{"annotations":{"why":"nothing comes in"}},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}`)
	l.CreateChild(foldtest.Key(events.Revisions, "web-5d4f"), foldtest.Deployment, 0, `{"data":{"spec":{"template":{"$patch":"replace"}}},"revision":3}`)
	l.Create(foldtest.Key(events.StatefulSets, "db"), `{"metadata":{"labels":{"app":"db"}},"spec":{"replicas":2,"serviceName":"db","podManagementPolicy":"OrderedReady","selector":{"matchLabels":{"app":"db"}},
		"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":1,"maxUnavailable":1}},"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":"Delete"},
		"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"c","image":"postgres:17"}]}}}}`)
	l.Create(events.Key{Resource: events.StorageClasses, Name: "local"}, `{"metadata":{"annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"stave.run/local","reclaimPolicy":"Delete","volumeBindingMode":"WaitForFirstConsumer","allowVolumeExpansion":true}`)
	data := foldtest.Key(events.Claims, "data")
	l.Create(data, `{"metadata":{"finalizers":["kubernetes.io/pvc-protection"],"annotations":{"pv.kubernetes.io/bind-completed":"yes"}},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"local","volumeMode":"Filesystem","volumeName":"pvc-1","resources":{"requests":{"storage":"1Gi"}}}}`)
	l.Create(foldtest.Key(events.Claims, "waits"), `{"spec":{"accessModes":["ReadWriteOncePod"],"resources":{"requests":{"storage":"1Gi"}}}}`)
	l.Create(events.Key{Resource: events.Volumes, Name: "pvc-1"}, `{"metadata":{"finalizers":["kubernetes.io/pv-protection"]},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"local","volumeMode":"Filesystem","capacity":{"storage":"1Gi"},"persistentVolumeReclaimPolicy":"Delete",
		"local":{"path":"/var/lib/stave/c/node/claims/pvc-1"},"claimRef":{"namespace":"default","name":"data","uid":"`+string(foldtest.UID(data, 1))+`"},
		"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["n1"]}]}]}}}}`)
	l.Conclude(big, events.Reason{Code: "Unschedulable", Said: "0/1 nodes are available: 1 Insufficient cpu."},
		events.Reason{Code: "Insufficient", About: foldtest.Key(events.Nodes, "n1"), What: "cpu", Need: "64", Have: "1650m", Fix: "ask for 1650m of cpu or less"})
	l.Assign("n1", crash, image, done)
	at := l.Pass(time.Second).Now
	l.Saw(crash, events.Fact{Kind: events.FactSandbox, IP: "10.244.0.9", HostIP: "10.0.0.1"},
		events.Fact{Kind: events.FactStarted, Container: "c", Run: 1, At: at, ContainerID: "x1"},
		events.Fact{Kind: events.FactExited, Container: "c", Run: 1, At: at, StartedAt: at, Code: 3, Reason: "Error", ContainerID: "x1", Tail: "cannot open /etc/conf\n"})
	at = l.Pass(10 * time.Second).Now
	l.Saw(crash, events.Fact{Kind: events.FactStarted, Container: "c", Run: 2, At: at, ContainerID: "x2"},
		events.Fact{Kind: events.FactExited, Container: "c", Run: 2, At: at, StartedAt: at, Code: 3, Reason: "Error", ContainerID: "x2", Tail: "cannot open /etc/conf\n"},
		events.Fact{Kind: events.FactBackoff, Container: "c", Run: 3, Reason: "CrashLoopBackOff", Message: "back-off 20s restarting failed container=c", Until: at.Add(20 * time.Second)})
	l.Saw(image, events.Fact{Kind: events.FactPulling, Container: "c", Image: "nginx:nope"},
		events.Fact{Kind: events.FactPullFailed, Container: "c", Image: "nginx:nope", Reason: "ErrImagePull", Message: "docker.io/library/nginx:nope: not found"},
		events.Fact{Kind: events.FactBackoff, Container: "c", Reason: "ImagePullBackOff", Message: `Back-off pulling image "nginx:nope"`, Until: at.Add(10 * time.Second)})
	l.Saw(done, events.Fact{Kind: events.FactStarted, Container: "c", Run: 1, At: at, ContainerID: "d"},
		events.Fact{Kind: events.FactExited, Container: "c", Run: 1, At: at.Add(time.Second), StartedAt: at, Reason: "Completed", ContainerID: "d"})
	l.Delete(foldtest.Pod(2), foldtest.Person, 30)
	l.Pass(5 * time.Second)
	return l
}

func list(l *foldtest.Log, r events.Resource) []events.Object {
	var out []events.Object
	for o := range l.State.Objects(r, "", l.Now) {
		out = append(out, o)
	}
	return out
}

func TestGet(t *testing.T) {
	l := story()
	text := ""
	for _, kind := range events.Kinds {
		tab := table.Of(kind.Resource, list(l, kind.Resource), l.Now)
		text += "$ get " + kind.Plural() + "\n" + table.Print(tab, table.Options{})
		text += "$ get " + kind.Plural() + " -o wide\n" + table.Print(tab, table.Options{Wide: true}) + "\n"
	}
	pods := table.Of(events.Pods, list(l, events.Pods), l.Now)
	text += "$ get pods -A --no-headers\n" + table.Print(pods, table.Options{NoHeaders: true, Namespace: true})
	text += "$ get pods -L app --show-labels, kinds named\n" + table.Print(pods, table.Options{ShowLabels: true, LabelColumns: []string{"app"}, KindPrefix: true})
	golden(t, "get.txt", text)
}

func TestDescribe(t *testing.T) {
	l := story()
	for _, k := range []events.Key{foldtest.Pod(0), foldtest.Pod(2), foldtest.Key(events.Pods, "big"), foldtest.Key(events.Pods, "crash"),
		foldtest.Key(events.Pods, "image"), foldtest.Deployment, foldtest.ReplicaSet, foldtest.Service, foldtest.Key(events.Endpoints, "nginx-service"),
		foldtest.Key(events.Nodes, "n1"), foldtest.Key(events.Namespaces, "default"), foldtest.Key(events.ConfigMaps, "conf"), foldtest.Key(events.Secrets, "db"), foldtest.Key(events.Jobs, "pi"), foldtest.Key(events.CronJobs, "tidy"), foldtest.Key(events.StatefulSets, "db"),
		foldtest.Key(events.Claims, "data"), {Resource: events.Volumes, Name: "pvc-1"}, {Resource: events.StorageClasses, Name: "local"},
		foldtest.Key(events.DaemonSets, "logs"), foldtest.Key(events.Controllers, "old"), foldtest.Key(events.Autoscalers, "web"),
		foldtest.Key(events.NetworkPolicies, "db"), foldtest.Key(events.NetworkPolicies, "shut")} {
		filter := why.For(l.State, k)
		var kept []events.Envelope
		for _, e := range l.Events {
			if e.Seq >= filter.From && filter.Keep(e) {
				kept = append(kept, e)
			}
		}
		text, ok := table.Describe(l.State, k, l.Now, why.EventsOf(kept, k))
		if !ok {
			t.Fatalf("%s is not there", k)
		}
		kind, _ := events.KindOf(k.Resource)
		golden(t, "describe-"+kind.Singular+"-"+k.Name+".txt", text)
	}
	if _, ok := table.Describe(l.State, foldtest.Key(events.Pods, "nobody"), l.Now, nil); ok {
		t.Error("described a pod that is not there")
	}
}

func TestAge(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{-5 * time.Second, "<invalid>"}, {-500 * time.Millisecond, "0s"}, {0, "0s"}, {5 * time.Second, "5s"}, {119 * time.Second, "119s"},
		{2 * time.Minute, "2m"}, {192 * time.Second, "3m12s"}, {10 * time.Minute, "10m"}, {179 * time.Minute, "179m"}, {3 * time.Hour, "3h"},
		{3*time.Hour + time.Minute, "3h1m"}, {8 * time.Hour, "8h"}, {47*time.Hour + 59*time.Minute, "47h"}, {48 * time.Hour, "2d"},
		{50 * time.Hour, "2d2h"}, {192 * time.Hour, "8d"}, {12 * 24 * time.Hour, "12d"}, {729 * 24 * time.Hour, "729d"}, {730 * 24 * time.Hour, "2y"},
		{800 * 24 * time.Hour, "2y70d"}, {8 * 365 * 24 * time.Hour, "8y"},
	} {
		if got := table.Age(c.d); got != c.want {
			t.Errorf("Age(%s) = %s, want %s", c.d, got, c.want)
		}
	}
}
