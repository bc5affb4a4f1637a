package manifest

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// brief is "path: type" of each error, which is what clients act on.
func brief(errs field.ErrorList) []string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Field+": "+string(e.Type))
	}
	return out
}

func validated(t *testing.T, src string) field.ErrorList {
	t.Helper()
	d := one(t, src)
	Default(d.Object)
	return Validate(d.Object)
}

func TestSeedsAreValid(t *testing.T) {
	for _, name := range []string{"01-mypod.yaml", "02-mypod-orange.yaml", "03-np-svc.yaml", "06-nginx-deployment-status.yaml",
		"06-nginx-deployment-as-returned.yaml", "07-nginx-pod.yaml", "08-nginx-deployment.yaml", "09-nginx-service.yaml"} {
		if errs := validated(t, string(read(t, name))); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      containers: [{name: a, image: b}]
`

func TestValidate(t *testing.T) {
	pod := func(spec string) string { return podHead + "spec:\n" + spec }
	box := func(rest string) string { return container + rest }
	svc := func(rest string) string { return service + rest }
	dep := func(old, next string) string { return strings.Replace(deployment, old, next, 1) }
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"good pod", container, nil},
		{"good deployment", deployment, nil},
		{"good service", service, nil},
		{"pod name", strings.Replace(container, "name: p", "name: Mein_Pod", 1), []string{"metadata.name: FieldValueInvalid"}},
		{"service name", strings.Replace(service, "name: s", "name: s.s", 1), []string{"metadata.name: FieldValueInvalid"}},
		{"a service's digit", strings.Replace(service, "name: s", "name: 1s", 1), nil},
		{"namespace name", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n", []string{"metadata.name: FieldValueInvalid"}},
		{"generateName", strings.Replace(container, "name: p", "generateName: p-", 1), nil},
		{"generateName wrong", strings.Replace(container, "name: p", "generateName: P_", 1), []string{"metadata.generateName: FieldValueInvalid"}},
		{"namespace", strings.Replace(container, "name: p", "name: p\n  namespace: A", 1), []string{"metadata.namespace: FieldValueInvalid"}},
		{"label key and value", strings.Replace(container, "name: p", "name: p\n  labels: {'a b': x, c: 'd e'}", 1),
			[]string{"metadata.labels: FieldValueInvalid", "metadata.labels[c]: FieldValueInvalid"}},
		{"annotation key", strings.Replace(container, "name: p", "name: p\n  annotations: {'a b': x}", 1), []string{"metadata.annotations: FieldValueInvalid"}},
		{"finalizer", strings.Replace(container, "name: p", "name: p\n  finalizers: ['a/b c']", 1), []string{"metadata.finalizers: FieldValueInvalid"}},
		{"a finalizer of nobody", strings.Replace(container, "name: p", "name: p\n  finalizers: [orphan, mine]", 1), []string{"metadata.finalizers[1]: FieldValueInvalid"}},
		{"a budget of both", budget + "  minAvailable: 1\n  maxUnavailable: 1\n", []string{"spec: FieldValueInvalid"}},
		{"a budget of more than all", budget + "  minAvailable: 110%\n  unhealthyPodEvictionPolicy: Maybe\n", []string{"spec.minAvailable: FieldValueInvalid", "spec.unhealthyPodEvictionPolicy: FieldValueNotSupported"}},
		{"a budget of less than none", budget + "  maxUnavailable: -1\n", []string{"spec.maxUnavailable: FieldValueInvalid"}},
		{"a budget", budget + "  maxUnavailable: 20%\n  selector: {}\n", nil},
		{"two ways to go", strings.Replace(container, "name: p", "name: p\n  finalizers: [orphan, foregroundDeletion]", 1), []string{"metadata.finalizers: FieldValueInvalid"}},
		{"no containers", pod("  containers: []\n"), []string{"spec.containers: FieldValueRequired"}},
		{"no name, no image", pod("  containers: [{}]\n"), []string{"spec.containers[0].name: FieldValueRequired", "spec.containers[0].image: FieldValueRequired"}},
		{"names twice", pod("  containers: [{name: a, image: b}, {name: a, image: b}]\n"), []string{"spec.containers[1].name: FieldValueDuplicate"}},
		{"image with a space", pod("  containers: [{name: a, image: ' b'}]\n"), []string{"spec.containers[0].image: FieldValueInvalid"}},
		{"pull policy", box("    imagePullPolicy: Maybe\n"), []string{"spec.containers[0].imagePullPolicy: FieldValueNotSupported"}},
		{"port range", box("    ports: [{containerPort: 70000}]\n"), []string{"spec.containers[0].ports[0].containerPort: FieldValueInvalid"}},
		{"port missing", box("    ports: [{name: x}]\n"), []string{"spec.containers[0].ports[0].containerPort: FieldValueRequired"}},
		{"port name and protocol", box("    ports: [{name: Web_1, containerPort: 1, protocol: ICMP}]\n"),
			[]string{"spec.containers[0].ports[0].name: FieldValueInvalid", "spec.containers[0].ports[0].protocol: FieldValueNotSupported"}},
		{"port names twice", box("    ports: [{name: w, containerPort: 1}, {name: w, containerPort: 2}]\n"), []string{"spec.containers[0].ports[1].name: FieldValueDuplicate"}},
		{"host ports twice", box("    ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5}]\n"), []string{"spec.containers[0].ports[1].hostPort: FieldValueDuplicate"}},
		{"env", box("    env: [{value: a}, {name: A, valueFrom: {}}, {name: 'a=b'}]\n"),
			[]string{"spec.containers[0].env[0].name: FieldValueRequired", "spec.containers[0].env[1].valueFrom: FieldValueInvalid", "spec.containers[0].env[2].name: FieldValueInvalid"}},
		{"env sources", box("    env: [{name: A, value: x, valueFrom: {configMapKeyRef: {name: c, key: k}}}, {name: B, valueFrom: {configMapKeyRef: {}}}]\n"),
			[]string{"spec.containers[0].env[0].valueFrom: FieldValueInvalid", "spec.containers[0].env[1].valueFrom.configMapKeyRef.name: FieldValueRequired",
				"spec.containers[0].env[1].valueFrom.configMapKeyRef.key: FieldValueRequired"}},
		{"field paths", box("    env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['a/b']\"}}}, {name: B, valueFrom: {fieldRef: {fieldPath: spec.x}}}]\n"),
			[]string{"spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: FieldValueNotSupported"}},
		{"env from", box("    envFrom: [{}, {configMapRef: {}}]\n"), []string{"spec.containers[0].envFrom[0]: FieldValueInvalid", "spec.containers[0].envFrom[1].configMapRef.name: FieldValueRequired"}},
		{"mounts", box("    volumeMounts: [{name: v, mountPath: /a}, {name: w, mountPath: /a}, {name: v}]\n  volumes: [{name: v}]\n"),
			[]string{"spec.containers[0].volumeMounts[1].name: FieldValueNotFound", "spec.containers[0].volumeMounts[1].mountPath: FieldValueInvalid",
				"spec.containers[0].volumeMounts[2].mountPath: FieldValueRequired"}},
		{"sub path", box("    volumeMounts: [{name: v, mountPath: /a, subPath: ../x}, {name: v, mountPath: /b, subPath: /y}]\n  volumes: [{name: v}]\n"),
			[]string{"spec.containers[0].volumeMounts[0].subPath: FieldValueInvalid", "spec.containers[0].volumeMounts[1].subPath: FieldValueInvalid"}},
		{"volumes", box("  volumes: [{}, {name: v}, {name: v}, {name: c, configMap: {}}, {name: m, configMap: {name: a, defaultMode: 1000}}]\n"),
			[]string{"spec.volumes[0].name: FieldValueRequired", "spec.volumes[2].name: FieldValueDuplicate", "spec.volumes[3].configMap.name: FieldValueRequired",
				"spec.volumes[4].configMap.defaultMode: FieldValueInvalid"}},
		{"volumes of drivers", box("  volumes: [{name: v, csi: {driver: a.b, readOnly: true}}, {name: w, csi: {nodePublishSecretRef: {}}}, {name: x, csi: {driver: _}}]\n"),
			[]string{"spec.volumes[1].csi.driver: FieldValueRequired", "spec.volumes[1].csi.nodePublishSecretRef.name: FieldValueRequired", "spec.volumes[2].csi.driver: FieldValueInvalid"}},
		{"two kinds in a volume", box("  volumes: [{name: v, emptyDir: {}, configMap: {name: c, items: [{}]}}]\n"),
			[]string{"spec.volumes[0].configMap: FieldValueForbidden", "spec.volumes[0].configMap.items[0].key: FieldValueRequired", "spec.volumes[0].configMap.items[0].path: FieldValueRequired"}},
		{"resources", box("    resources: {limits: {cpu: 1, memory: -1}, requests: {cpu: 2, gpu: 1}}\n"),
			[]string{"spec.containers[0].resources.limits[memory]: FieldValueInvalid", "spec.containers[0].resources.requests[gpu]: FieldValueInvalid",
				"spec.containers[0].resources.requests[memory]: FieldValueInvalid", "spec.containers[0].resources.requests: FieldValueInvalid"}},
		{"extended resources", box("    resources: {limits: {a.com/x: 2, a.com/half: 500m, requests.b.com/y: 1}, requests: {a.com/x: 1, a.com/none: 1}}\n"),
			[]string{"spec.containers[0].resources.limits[a.com/half]: FieldValueInvalid", "spec.containers[0].resources.limits[requests.b.com/y]: FieldValueInvalid",
				"spec.containers[0].resources.requests[a.com/half]: FieldValueInvalid", "spec.containers[0].resources.requests[requests.b.com/y]: FieldValueInvalid",
				"spec.containers[0].resources.limits: FieldValueRequired", "spec.containers[0].resources.requests: FieldValueInvalid"}},
		{"restart policy", box("  restartPolicy: Sometimes\n"), []string{"spec.restartPolicy: FieldValueNotSupported"}},
		{"deadline", box("  activeDeadlineSeconds: 0\n"), []string{"spec.activeDeadlineSeconds: FieldValueInvalid"}},
		{"dns", box("  dnsPolicy: None\n"), []string{"spec.dnsConfig.nameservers: FieldValueRequired"}},
		{"dns config", box("  dnsConfig: {nameservers: [x, 1.1.1.1, 1.1.1.2, 1.1.1.3], searches: ['a b'], options: [{}]}\n"),
			[]string{"spec.dnsConfig.nameservers: FieldValueInvalid", "spec.dnsConfig.nameservers[0]: FieldValueInvalid", "spec.dnsConfig.searches[0]: FieldValueInvalid",
				"spec.dnsConfig.options[0]: FieldValueRequired"}},
		{"host names", box("  hostname: a.b\n  subdomain: A\n  nodeName: N\n"),
			[]string{"spec.hostname: FieldValueInvalid", "spec.subdomain: FieldValueInvalid", "spec.nodeName: FieldValueInvalid"}},
		{"tolerations", box("  tolerations: [{}, {key: a, operator: Exists, value: b}, {key: a, operator: Like}, {key: a, effect: NoSchedule, tolerationSeconds: 1}, {key: a, effect: X}]\n"),
			[]string{"spec.tolerations[0].operator: FieldValueInvalid", "spec.tolerations[1].value: FieldValueInvalid", "spec.tolerations[2].operator: FieldValueNotSupported",
				"spec.tolerations[3].effect: FieldValueInvalid", "spec.tolerations[4].effect: FieldValueNotSupported"}},
		{"selector missing", dep("selector: {matchLabels: {app: x}}", "selector: null"), []string{"spec.selector: FieldValueRequired"}},
		{"selector empty", dep("{matchLabels: {app: x}}", "{}"), []string{"spec.selector: FieldValueInvalid"}},
		{"selector beside the labels", dep("{labels: {app: x}}", "{labels: {app: y}}"), []string{"spec.template.metadata.labels: FieldValueInvalid"}},
		{"expressions", dep("{matchLabels: {app: x}}", "{matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [x]}, {key: c, operator: Of}]}"),
			[]string{"spec.selector.matchExpressions[0].values: FieldValueRequired", "spec.selector.matchExpressions[1].values: FieldValueForbidden",
				"spec.selector.matchExpressions[2].operator: FieldValueInvalid"}},
		{"restart policy of a template", dep("containers:", "restartPolicy: Never\n      activeDeadlineSeconds: 5\n      containers:"),
			[]string{"spec.template.spec.restartPolicy: FieldValueNotSupported", "spec.template.spec.activeDeadlineSeconds: FieldValueForbidden"}},
		{"counts", dep("spec:\n", "spec:\n  replicas: -1\n  revisionHistoryLimit: -1\n  minReadySeconds: -1\n"),
			[]string{"spec.replicas: FieldValueInvalid", "spec.revisionHistoryLimit: FieldValueInvalid", "spec.minReadySeconds: FieldValueInvalid"}},
		{"deadline below the delay", dep("spec:\n", "spec:\n  minReadySeconds: 9\n  progressDeadlineSeconds: 9\n"), []string{"spec.progressDeadlineSeconds: FieldValueInvalid"}},
		{"strategy", dep("spec:\n", "spec:\n  strategy: {type: Blue}\n"), []string{"spec.strategy.type: FieldValueNotSupported"}},
		{"Recreate with surge", dep("spec:\n", "spec:\n  strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}\n"), []string{"spec.strategy.rollingUpdate: FieldValueForbidden"}},
		{"both zero", dep("spec:\n", "spec:\n  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}\n"), []string{"spec.strategy.rollingUpdate.maxUnavailable: FieldValueInvalid"}},
		{"percentages", dep("spec:\n", "spec:\n  strategy: {rollingUpdate: {maxSurge: 5x, maxUnavailable: -1}}\n"),
			[]string{"spec.strategy.rollingUpdate.maxUnavailable: FieldValueInvalid", "spec.strategy.rollingUpdate.maxSurge: FieldValueInvalid"}},
		{"more than all", dep("spec:\n", "spec:\n  strategy: {rollingUpdate: {maxUnavailable: 101%}}\n"), []string{"spec.strategy.rollingUpdate.maxUnavailable: FieldValueInvalid"}},
		{"no ports", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {}\n", []string{"spec.ports: FieldValueRequired"}},
		{"headless without ports", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: None}\n", nil},
		{"service port", strings.Replace(service, "port: 80", "port: 0, targetPort: Not_a_name, protocol: X", 1),
			[]string{"spec.ports[0].port: FieldValueInvalid", "spec.ports[0].protocol: FieldValueNotSupported", "spec.ports[0].targetPort: FieldValueInvalid"}},
		{"ports without names", strings.Replace(service, "{port: 80}", "{port: 80}, {port: 80}", 1),
			[]string{"spec.ports[0].name: FieldValueRequired", "spec.ports[1].name: FieldValueRequired", "spec.ports[1]: FieldValueDuplicate"}},
		{"ports of one name", strings.Replace(service, "{port: 80}", "{name: a, port: 80}, {name: a, port: 81}", 1), []string{"spec.ports[1].name: FieldValueDuplicate"}},
		{"DNS on both protocols", strings.Replace(service, "{port: 80}", "{name: a, port: 53}, {name: b, port: 53, protocol: UDP}", 1), nil},
		{"node port of a cluster IP", strings.Replace(service, "port: 80", "port: 80, nodePort: 30000", 1), []string{"spec.ports[0].nodePort: FieldValueForbidden"}},
		{"node port range", strings.Replace(service, "port: 80", "port: 80, nodePort: 80", 1) + "  type: NodePort\n", []string{"spec.ports[0].nodePort: FieldValueInvalid"}},
		{"node port twice", strings.Replace(service, "{port: 80}", "{name: a, port: 80, nodePort: 30000}, {name: b, port: 81, nodePort: 30000}", 1) + "  type: NodePort\n",
			[]string{"spec.ports[1].nodePort: FieldValueDuplicate"}},
		{"cluster IP", svc("  clusterIP: x\n"), []string{"spec.clusterIPs[0]: FieldValueInvalid"}},
		{"cluster IP of version 6", svc("  clusterIP: '::1'\n"), []string{"spec.clusterIPs[0]: FieldValueInvalid"}},
		{"None for a node port", svc("  clusterIP: None\n  type: NodePort\n"), []string{"spec.clusterIPs[0]: FieldValueInvalid"}},
		{"two cluster IPs", svc("  clusterIPs: [10.0.0.1, 10.0.0.2]\n"), []string{"spec.clusterIPs: FieldValueInvalid"}},
		{"families", svc("  ipFamilies: [IPv6]\n  ipFamilyPolicy: RequireDualStack\n"), []string{"spec.ipFamilies[0]: FieldValueInvalid", "spec.ipFamilyPolicy: FieldValueInvalid"}},
		{"service type and affinity", svc("  type: X\n  sessionAffinity: Y\n"), []string{"spec.type: FieldValueNotSupported", "spec.sessionAffinity: FieldValueNotSupported"}},
		{"affinity time", svc("  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}\n"), []string{"spec.sessionAffinityConfig.clientIP.timeoutSeconds: FieldValueInvalid"}},
		{"external name", svc("  type: ExternalName\n  clusterIP: 10.0.0.1\n"), []string{"spec.clusterIPs: FieldValueForbidden", "spec.externalName: FieldValueRequired"}},
		{"external name with all that it has no use for", svc("  type: ExternalName\n  externalName: a.b.\n  externalTrafficPolicy: Local\n  ipFamilies: [IPv4]\n  ipFamilyPolicy: SingleStack\n  allocateLoadBalancerNodePorts: true\n  loadBalancerClass: x\n  healthCheckNodePort: 30001\n  internalTrafficPolicy: A\n  trafficDistribution: B\n"),
			[]string{"spec.ipFamilies: FieldValueForbidden", "spec.ipFamilyPolicy: FieldValueForbidden", "spec.allocateLoadBalancerNodePorts: FieldValueForbidden", "spec.loadBalancerClass: FieldValueForbidden",
				"spec.internalTrafficPolicy: FieldValueNotSupported", "spec.externalTrafficPolicy: FieldValueInvalid", "spec.trafficDistribution: FieldValueNotSupported", "spec.healthCheckNodePort: FieldValueInvalid"}},
		{"external addresses", svc("  externalIPs: [192.0.2.1]\n  externalTrafficPolicy: Local\n"), nil},
		{"wrong external addresses", svc("  externalIPs: [x, 127.0.0.1, 169.254.1.1]\n  externalTrafficPolicy: Somewhere\n"), []string{"spec.externalIPs[0]: FieldValueInvalid",
			"spec.externalIPs[1]: FieldValueInvalid", "spec.externalIPs[2]: FieldValueInvalid", "spec.externalTrafficPolicy: FieldValueNotSupported"}},
		{"class of a balancer", svc("  type: LoadBalancer\n  loadBalancerClass: 'a b'\n"), []string{"spec.loadBalancerClass: FieldValueInvalid"}},
		{"application protocol", strings.Replace(service, "port: 80", "port: 80, appProtocol: 'a b'", 1), []string{"spec.ports[0].appProtocol: FieldValueInvalid"}},
		{"traffic policies", svc("  internalTrafficPolicy: A\n  externalTrafficPolicy: Local\n"), []string{"spec.internalTrafficPolicy: FieldValueNotSupported", "spec.externalTrafficPolicy: FieldValueInvalid"}},
		{"config map keys", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {'a b': x, k: v}\nbinaryData: {k: eA==, '..': eA==}\n",
			[]string{"data[a b]: FieldValueInvalid", "data[k]: FieldValueInvalid", "binaryData[..]: FieldValueInvalid"}},
		{"taints", "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}, {key: '', effect: ''}]}\n",
			[]string{"spec.taints[1]: FieldValueDuplicate", "spec.taints[2].key: FieldValueInvalid", "spec.taints[2].key: FieldValueInvalid", "spec.taints[2].effect: FieldValueRequired"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			errs := validated(t, c.src)
			if have := brief(errs); !slices.Equal(have, c.want) {
				t.Errorf("have\n  %s\nwant\n  %s\n%v", strings.Join(have, "\n  "), strings.Join(c.want, "\n  "), errs)
			}
		})
	}
}

func TestValidateSize(t *testing.T) {
	big := strings.Repeat("x", maxConfigMap)
	if errs := validated(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: "+big+", b: x}\n"); len(errs) != 1 || errs[0].Type != field.ErrorTypeTooLong {
		t.Errorf("data: %v", brief(errs))
	}
	if errs := validated(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {a: "+big+"}}\n"); len(errs) != 1 || errs[0].Field != "metadata.annotations" {
		t.Errorf("annotations: %v", brief(errs))
	}
}

func TestValidateUpdate(t *testing.T) {
	cm := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nimmutable: true\ndata: {a: b}\n"
	fixed := service + "  clusterIP: 10.0.0.1\n"
	const gates = "  schedulingGates: [{name: g}]\n"
	need := func(terms string) string {
		return "  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" + terms + "]}}}\n"
	}
	node := "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDR: 10.0.0.0/24}\n"
	for _, c := range []struct {
		name, old, next string
		want            []string
	}{
		{"same pod", container, container, nil},
		{"image", container, strings.Replace(container, "image: b", "image: c:1", 1), []string{"spec.containers[0].imagePullPolicy: FieldValueForbidden"}},
		{"image, policy kept", container + "    imagePullPolicy: Never\n", strings.Replace(container, "image: b", "image: c:1", 1) + "    imagePullPolicy: Never\n", nil},
		{"command", container, container + "    command: [x]\n", []string{"spec.containers[0].command: FieldValueForbidden"}},
		{"two fields, one deep", container + "    ports: [{containerPort: 1}]\n", container + "    ports: [{containerPort: 2}]\n  hostname: h\n",
			[]string{"spec.containers[0].ports[0].containerPort: FieldValueForbidden", "spec.hostname: FieldValueForbidden"}},
		{"one container more", container, container + "  - {name: z, image: y}\n", []string{"spec.containers: FieldValueForbidden"}},
		{"image of an init container", container + "  initContainers: [{name: i, image: x}]\n", container + "  initContainers: [{name: i, image: y}]\n", nil},
		{"command of an init container", container + "  initContainers: [{name: i, image: x}]\n", container + "  initContainers: [{name: i, image: x, command: [y]}]\n",
			[]string{"spec.initContainers[0].command: FieldValueForbidden"}},
		{"one init container more", container, container + "  initContainers: [{name: i, image: x}]\n", []string{"spec.initContainers: FieldValueForbidden"}},
		{"deadline set", container, container + "  activeDeadlineSeconds: 5\n", nil},
		{"deadline longer", container + "  activeDeadlineSeconds: 5\n", container + "  activeDeadlineSeconds: 6\n", []string{"spec.activeDeadlineSeconds: FieldValueInvalid"}},
		{"toleration added", container, container + "  tolerations: [{operator: Exists}]\n", nil},
		{"toleration removed", container + "  tolerations: [{operator: Exists}]\n", container, []string{"spec.tolerations[0]: FieldValueForbidden"}},
		{"gates are taken off", container + "  schedulingGates: [{name: a}, {name: b.example/c}]\n", container + "  schedulingGates: [{name: b.example/c}]\n", nil},
		{"gates are put up", container + "  schedulingGates: [{name: a}]\n", container + "  schedulingGates: [{name: b}, {name: a}]\n", []string{"spec.schedulingGates[0].name: FieldValueForbidden"}},
		{"a first gate", container, container + "  schedulingGates: [{name: a}]\n", []string{"spec.schedulingGates[0].name: FieldValueForbidden"}},
		{"fewer nodes for whom is held back", container + gates + "  nodeSelector: {a: b}\n" + need("{matchExpressions: [{key: a, operator: Exists}]}"),
			container + gates + "  nodeSelector: {a: b, c: d}\n" + need("{matchExpressions: [{key: a, operator: Exists}, {key: c, operator: Exists}]}"), nil},
		{"other nodes for whom is held back", container + gates + "  nodeSelector: {a: b}\n" + need("{matchExpressions: [{key: a, operator: Exists}]}"),
			container + gates + "  nodeSelector: {a: c}\n" + need("{matchExpressions: [{key: c, operator: Exists}]}"),
			[]string{"spec.nodeSelector: FieldValueInvalid", "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: FieldValueInvalid"}},
		{"one term more", container + gates + need("{matchExpressions: [{key: a, operator: Exists}]}"), container + gates + need("{matchExpressions: [{key: a, operator: Exists}]}, {}"),
			[]string{"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: FieldValueInvalid"}},
		{"a first affinity", container + gates, container + gates + need("{matchExpressions: [{key: a, operator: Exists}]}"), nil},
		{"fewer nodes for others", container, container + "  nodeSelector: {a: b}\n", []string{"spec.nodeSelector: FieldValueForbidden"}},
		{"selector", deployment, strings.ReplaceAll(deployment, "app: x", "app: y"), []string{"spec.selector: FieldValueInvalid"}},
		{"template", deployment, strings.Replace(deployment, "image: b", "image: c", 1), nil},
		{"cluster IP", fixed, service + "  clusterIP: 10.0.0.2\n", []string{"spec.clusterIPs[0]: FieldValueInvalid"}},
		{"cluster IP for a name", fixed, "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: a.b}\n", nil},
		{"immutable", cm, strings.Replace(cm, "a: b", "a: c", 1), []string{"data: FieldValueForbidden"}},
		{"immutable no more", cm, strings.Replace(cm, "immutable: true", "immutable: false", 1), []string{"immutable: FieldValueForbidden"}},
		{"mutable", strings.Replace(cm, "true", "false", 1), strings.Replace(cm, "a: b", "a: c", 1), nil},
		{"pod CIDR", node, strings.Replace(node, "10.0.0.0", "10.0.1.0", 1), []string{"spec.podCIDR: FieldValueForbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, next := one(t, c.old).Object, one(t, c.next).Object
			Default(old)
			Default(next)
			if errs := ValidateUpdate(old, next); !slices.Equal(brief(errs), c.want) {
				t.Errorf("have %v, want %v", brief(errs), c.want)
			}
		})
	}
}
