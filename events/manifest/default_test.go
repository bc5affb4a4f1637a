package manifest

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
)

// The seed's deployment with our defaults is what Kubernetes returned for it.
func TestDefaultsAsReturned(t *testing.T) {
	have := one(t, string(read(t, "06-nginx-deployment-status.yaml"))).Object.(*appsv1.Deployment)
	want := one(t, string(read(t, "06-nginx-deployment-as-returned.yaml"))).Object.(*appsv1.Deployment)
	Default(have)
	if !reflect.DeepEqual(have.Spec, want.Spec) {
		t.Errorf("have %s\nwant %s", events.MustBody(have.Spec), events.MustBody(want.Spec))
	}
}

// defaulted is the JSON of a field of an object's spec after Default.
func defaulted(t *testing.T, src, path string) string {
	t.Helper()
	d := one(t, src)
	Default(d.Object)
	var at any
	if err := json.Unmarshal(events.MustBody(d.Object), &at); err != nil {
		t.Fatal(err)
	}
	for _, step := range splitPath(path) {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			at = v[step[0]-'0']
		}
	}
	return string(events.MustBody(at))
}

const budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: p\nspec:\n"

const container = podHead + "spec:\n  containers:\n  - name: a\n    image: b\n"

func TestPodDefaults(t *testing.T) {
	for _, c := range []struct{ src, path, want string }{
		{container, "spec.restartPolicy", `"Always"`},
		{container, "spec.dnsPolicy", `"ClusterFirst"`},
		{container, "spec.schedulerName", `"default-scheduler"`},
		{container, "spec.securityContext", `{}`},
		{container, "spec.terminationGracePeriodSeconds", `30`},
		{container, "spec.enableServiceLinks", `true`},
		{container + "  terminationGracePeriodSeconds: 0\n", "spec.terminationGracePeriodSeconds", `0`},
		{container + "  terminationGracePeriodSeconds: -1\n", "spec.terminationGracePeriodSeconds", `1`},
		{container + "  enableServiceLinks: false\n", "spec.enableServiceLinks", `false`},
		{container + "  restartPolicy: Never\n", "spec.restartPolicy", `"Never"`},
		{container, "spec.containers[0].terminationMessagePath", `"/dev/termination-log"`},
		{container, "spec.containers[0].terminationMessagePolicy", `"File"`},
		{container + "    ports: [{containerPort: 80}]\n", "spec.containers[0].ports[0].protocol", `"TCP"`},
		{container + "    ports: [{containerPort: 80, protocol: UDP}]\n", "spec.containers[0].ports[0].protocol", `"UDP"`},
		{container + "    ports: [{containerPort: 80}]\n  hostNetwork: true\n", "spec.containers[0].ports[0].hostPort", `80`},
		{container + "    resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 100m}}\n", "spec.containers[0].resources.requests", `{"cpu":"100m","memory":"1Gi"}`},
		{container + "    env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n", "spec.containers[0].env[0].valueFrom.fieldRef.apiVersion", `"v1"`},
		{container + "    livenessProbe: {httpGet: {port: 80}}\n", "spec.containers[0].livenessProbe",
			`{"failureThreshold":3,"httpGet":{"path":"/","port":80,"scheme":"HTTP"},"periodSeconds":10,"successThreshold":1,"timeoutSeconds":1}`},
		{container + "    readinessProbe: {grpc: {port: 80}, periodSeconds: 3}\n", "spec.containers[0].readinessProbe",
			`{"failureThreshold":3,"grpc":{"port":80,"service":""},"periodSeconds":3,"successThreshold":1,"timeoutSeconds":1}`},
		{container + "    lifecycle: {preStop: {httpGet: {port: 80}}}\n", "spec.containers[0].lifecycle.preStop.httpGet.path", `"/"`},
		{container + "  volumes: [{name: v}]\n", "spec.volumes[0].emptyDir", `{}`},
		{container + "  volumes: [{name: v, configMap: {name: c}}]\n", "spec.volumes[0].configMap.defaultMode", `420`},
		{container + "  volumes: [{name: v, secret: {secretName: c}}]\n", "spec.volumes[0].secret.defaultMode", `420`},
		{container + "  volumes: [{name: v, hostPath: {path: /x}}]\n", "spec.volumes[0].hostPath.type", `""`},
		{container + "  volumes: [{name: v, projected: {}}]\n", "spec.volumes[0].projected.defaultMode", `420`},
		{container + "  volumes: [{name: v, downwardAPI: {}}]\n", "spec.volumes[0].downwardAPI.defaultMode", `420`},
		{container + "  volumes: [{name: v, image: {reference: docs}}]\n", "spec.volumes[0].image.pullPolicy", `"Always"`},
		{container + "  serviceAccount: x\n", "spec.serviceAccountName", `"x"`},
		{container + "  initContainers: [{name: i, image: x}]\n", "spec.initContainers[0].imagePullPolicy", `"Always"`},
		{"apiVersion: v1\nkind: Namespace\nmetadata: {name: blue}\n", "metadata.labels", `{"kubernetes.io/metadata.name":"blue"}`},
		{"apiVersion: v1\nkind: Namespace\nmetadata: {name: blue}\n", "spec.finalizers", `["kubernetes"]`},
		{"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: r}\nspec: {template: {spec: {}}}\n", "spec.replicas", `1`},
		{"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: r}\nspec: {template: {spec: {}}}\n", "spec.template.spec.enableServiceLinks", `null`},
		{"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: r}\nspec: {strategy: {type: Recreate}}\n", "spec.strategy", `{"type":"Recreate"}`},
		{"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: r}\nspec: {strategy: {rollingUpdate: {maxSurge: 0}}}\n", "spec.strategy.rollingUpdate", `{"maxSurge":0,"maxUnavailable":"25%"}`},
	} {
		if have := defaulted(t, c.src, c.path); have != c.want {
			t.Errorf("%s of\n%s is %s, want %s", c.path, c.src, have, c.want)
		}
	}
}

func TestPullPolicyFollowsTheTag(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"nginx": corev1.PullAlways, "nginx:latest": corev1.PullAlways, "nginx:1.14": corev1.PullIfNotPresent,
		"localhost:5000/nginx": corev1.PullAlways, "localhost:5000/nginx:1": corev1.PullIfNotPresent,
		"nginx@sha256:aa": corev1.PullIfNotPresent, "nginx:latest@sha256:aa": corev1.PullAlways,
	} {
		if have := pullPolicy(image); have != want {
			t.Errorf("%s: have %s, want %s", image, have, want)
		}
	}
}

const service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports: [{port: 80}]\n"

func TestServiceDefaults(t *testing.T) {
	for _, c := range []struct{ src, path, want string }{
		{service, "spec.type", `"ClusterIP"`},
		{service, "spec.sessionAffinity", `"None"`},
		{service, "spec.ports[0]", `{"port":80,"protocol":"TCP","targetPort":80}`},
		{strings.Replace(service, "{port: 80}", "{port: 80, targetPort: http}", 1), "spec.ports[0].targetPort", `"http"`},
		{service, "spec.internalTrafficPolicy", `"Cluster"`},
		{service, "spec.ipFamilies", `["IPv4"]`},
		{service, "spec.ipFamilyPolicy", `"SingleStack"`},
		{service, "spec.externalTrafficPolicy", `null`},
		{service + "  type: NodePort\n", "spec.externalTrafficPolicy", `"Cluster"`},
		{service + "  type: LoadBalancer\n", "spec.allocateLoadBalancerNodePorts", `true`},
		{service + "  clusterIP: None\n", "spec.clusterIPs", `["None"]`},
		{service + "  clusterIPs: [10.0.0.9]\n", "spec.clusterIP", `"10.0.0.9"`},
		{service + "  sessionAffinity: ClientIP\n", "spec.sessionAffinityConfig.clientIP.timeoutSeconds", `10800`},
		{service + "  type: ExternalName\n", "spec.ipFamilies", `null`},
	} {
		if have := defaulted(t, c.src, c.path); have != c.want {
			t.Errorf("%s of\n%s is %s, want %s", c.path, c.src, have, c.want)
		}
	}
}

// Defaulting what is defaulted already changes nothing, for every seed.
func TestDefaultTwice(t *testing.T) {
	for _, src := range []string{string(read(t, "01-mypod.yaml")), string(read(t, "03-np-svc.yaml")), string(read(t, "08-nginx-deployment.yaml")), container, service} {
		o := one(t, src).Object
		Default(o)
		first := string(events.MustBody(o))
		Default(o)
		if second := string(events.MustBody(o)); second != first {
			t.Errorf("first %s\nsecond %s", first, second)
		}
	}
}

func TestCanonical(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u", ResourceVersion: "1", Generation: 3,
		Labels: map[string]string{"b": "1", "a": "2"}, Annotations: map[string]string{lastApplied: "{}", "keep": "x"},
		OwnerReferences: []metav1.OwnerReference{{Name: "o"}}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}, Finalizers: []string{"f/g"}},
		Spec: corev1.PodSpec{NodeName: "x"}, Status: corev1.PodStatus{Phase: "Running"}}
	have, err := Canonical(p)
	want := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"n","labels":{"a":"2","b":"1"},"annotations":{"keep":"x"},"finalizers":["f/g"]},` +
		`"spec":{"nodeName":"x","containers":null}}`
	if err != nil || !sameJSON(t, string(have), want) {
		t.Errorf("have %s, %v\nwant %s", have, err, want)
	}
	if p.UID != "u" || p.Annotations[lastApplied] == "" {
		t.Error("the object itself was changed")
	}
	p.Annotations = map[string]string{lastApplied: "{}"}
	if have, _ = Canonical(p); strings.Contains(string(have), "annotations") {
		t.Errorf("empty annotations stay: %s", have)
	}
}

// What Canonical takes apart by its brackets is what decoding and encoding it would give.
func TestCanonicalIsOrdered(t *testing.T) {
	objects := []events.Object{
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Data: map[string]string{`"status":`: `{"a": "\\"}`, "b": `]}\",`, "<": "&", "": "ü\u2028"}},
		&corev1.Pod{Status: corev1.PodStatus{Phase: "}"}}, &corev1.Secret{Data: map[string][]byte{"a": {0, 1}}},
	}
	seeds, err := filepath.Glob("testdata/seeds/*.yaml")
	if err != nil || len(seeds) == 0 {
		t.Fatalf("no seeds: %v", err)
	}
	for _, s := range seeds {
		docs, _ := Decode(s, read(t, filepath.Base(s)))
		for _, d := range docs {
			objects = append(objects, d.Object)
		}
	}
	for _, o := range objects {
		have, err := Canonical(o)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(have, &fields); err != nil {
			t.Fatalf("%v: %s", err, have)
		}
		if again := events.MustBody(fields); string(again) != string(have) || fields["status"] != nil {
			t.Errorf("have %s\nwant %s", have, again)
		}
		if k, ok := kindOfType(o); !ok || !strings.Contains(string(have), `"kind":"`+k.Name+`"`) {
			t.Errorf("no kind in %s", have)
		}
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

func TestDocOf(t *testing.T) {
	d := DocOf(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}}}})
	d.Object.SetNamespace("blue")
	want := `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"blue"},"spec":{"ports":[{"port":80,"targetPort":80}]}}`
	if have := string(d.JSON()); !sameJSON(t, have, want) {
		t.Errorf("have %s\nwant %s", have, want)
	}
	if d.Kind.Name != "Service" || d.Where("spec") != "service/s" {
		t.Errorf("kind %s at %s", d.Kind.Name, d.Where("spec"))
	}
	again := one(t, string(d.JSON()))
	if again.Object.GetNamespace() != "blue" {
		t.Errorf("read back: %s", again.JSON())
	}
}
