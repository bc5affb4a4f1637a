package manifest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
)

func unhonoured(t *testing.T, src string) (warned, refused []string) {
	t.Helper()
	d := one(t, src)
	warnings, errs := Unhonoured(d)
	for _, w := range warnings {
		warned = append(warned, w.Field)
		if !strings.HasPrefix(w.String(), w.Field+": ") || len(w.String()) < len(w.Field)+5 {
			t.Errorf("warning %q names no field or no consequence", w)
		}
	}
	for _, e := range errs {
		refused = append(refused, e.Field)
	}
	return warned, refused
}

func TestSeedsAreHonoured(t *testing.T) {
	for _, name := range []string{"01-mypod.yaml", "02-mypod-orange.yaml", "03-np-svc.yaml", "06-nginx-deployment-status.yaml",
		"06-nginx-deployment-as-returned.yaml", "07-nginx-pod.yaml", "08-nginx-deployment.yaml", "09-nginx-service.yaml"} {
		if warned, refused := unhonoured(t, string(read(t, name))); len(warned)+len(refused) > 0 {
			t.Errorf("%s: warned %v, refused %v", name, warned, refused)
		}
	}
}

func TestUnhonoured(t *testing.T) {
	for _, c := range []struct {
		name, src       string
		warned, refused []string
	}{
		{"all that a pod may say", container + `    command: [a]
    args: [b]
    workingDir: /
    tty: true
    stdin: true
    env: [{name: A, value: b}, {name: B, valueFrom: {configMapKeyRef: {name: c, key: k}}}]
    envFrom: [{prefix: x, configMapRef: {name: c}}]
    resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1}}
    volumeMounts: [{name: v, mountPath: /x, readOnly: true}]
    ports: [{name: a, containerPort: 80, protocol: UDP}]
  volumes: [{name: v, emptyDir: {}}, {name: w, configMap: {name: c, items: [{key: a, path: b}]}}]
  restartPolicy: Never
  nodeSelector: {a: b}
  tolerations: [{operator: Exists}]
  hostname: h
  dnsConfig: {options: [{name: ndots}]}
`, nil, nil},
		{"probes and hooks", container + "    livenessProbe: {tcpSocket: {port: 1}}\n    lifecycle: {preStop: {exec: {command: [a]}}, postStart: {sleep: {seconds: 1}}, stopSignal: SIGUSR1}\n    terminationMessagePath: /x\n",
			[]string{"spec.containers[0].lifecycle.stopSignal"}, nil},
		{"a hook that nobody can run", container + "    lifecycle: {preStop: {tcpSocket: {port: 1}}}\n  readinessGates: [{conditionType: a/b}]\n  schedulerName: mine\n", nil,
			[]string{"spec.containers[0].lifecycle.preStop.tcpSocket"}},
		{"affinity", container + "  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1}]}, podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: x}]}}\n  priorityClassName: x\n  topologySpreadConstraints: [{maxSkew: 1}]\n", nil, nil},
		{"said, but nothing in it", container + "  affinity: {}\n  initContainers: []\n  securityContext: {}\n  priorityClassName: null\n  hostNetwork: false\n", nil, nil},
		{"init containers", container + "  initContainers: [{name: i, image: x, restartPolicy: Always, env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}], volumeDevices: [{name: d, devicePath: /d}]}]\n", nil,
			[]string{"spec.initContainers[0].volumeDevices"}},
		{"security of the pod", container + "  securityContext: {runAsUser: 0, fsGroup: 5, runAsNonRoot: true, sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}], seccompProfile: {type: RuntimeDefault}, appArmorProfile: {type: Unconfined}}\n", nil, nil},
		{"security modules", container + "    securityContext: {appArmorProfile: {type: RuntimeDefault}}\n  securityContext: {seLinuxOptions: {level: s0}}\n",
			[]string{"spec.securityContext.seLinuxOptions"}, []string{"spec.containers[0].securityContext.appArmorProfile.type"}},
		{"security of a container", container + "    securityContext: {readOnlyRootFilesystem: true, privileged: true, allowPrivilegeEscalation: true, capabilities: {drop: [ALL], add: [NET_ADMIN]}, procMount: Unmasked}\n",
			nil, []string{"spec.containers[0].securityContext.procMount"}},
		{"volumes", container + "    volumeMounts: [{name: a, mountPath: /a, mountPropagation: HostToContainer, recursiveReadOnly: Enabled}]\n" +
			"  volumes: [{name: a, hostPath: {path: /x}}, {name: b, csi: {driver: c}}, {name: e, persistentVolumeClaim: {claimName: c}}, {name: c, secret: {secretName: s}}, {name: d, downwardAPI: {items: [{path: p}]}}]\n",
			[]string{"spec.volumes[1].csi"}, []string{"spec.containers[0].volumeMounts[0].recursiveReadOnly"}},
		{"an account of its own", container + "  serviceAccountName: robot\n  automountServiceAccountToken: false\n", nil, nil},
		{"mount options", container + "    volumeMounts: [{name: a, mountPath: /a, bindMountOptions: [noexec]}]\n  volumes: [{name: a}]\n",
			nil, []string{"spec.containers[0].volumeMounts[0].bindMountOptions"}},
		{"projected", container + "  volumes: [{name: a, projected: {sources: [{configMap: {name: c}}, {downwardAPI: {}}, {secret: {name: s}}, {serviceAccountToken: {path: t}}, {clusterTrustBundle: {path: c, user: 5}}, {podCertificate: {keyPath: k, user: 5}}]}}]\n",
			[]string{"spec.volumes[0].projected.sources[4].clusterTrustBundle.user", "spec.volumes[0].projected.sources[5].podCertificate.user"}, nil},
		{"secrets in the environment", container + "    env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n    envFrom: [{secretRef: {name: s}}]\n",
			nil, nil},
		{"other resources", container + "    resources: {limits: {ephemeral-storage: 1Gi, hugepages-2Mi: 2Mi, example.com/gpu: 1}, requests: {ephemeral-storage: 1Gi, example.com/gpu: 1}}\n",
			[]string{"spec.containers[0].resources.limits.hugepages-2Mi", "spec.containers[0].resources.requests.ephemeral-storage"}, nil},
		{"a template", strings.Replace(deployment, "containers:", "priority: 1\n      securityContext: {windowsOptions: {runAsUserName: x}}\n      containers:", 1),
			[]string{"spec.template.spec.securityContext.windowsOptions"}, nil},
		{"names of Jobs", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {metadata: {name: c}}}\n", nil, nil},
		{"other names of Jobs", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {metadata: {name: d}}}\n", []string{"spec.jobTemplate.metadata.name"}, nil},
		{"metadata", strings.Replace(container, "name: p", "name: p\n  finalizers: [a/b]\n  deletionTimestamp: 2026-01-01T00:00:00Z", 1), nil, nil},
		{"load balancer", service + "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.0/8]\n", []string{"spec.type"}, []string{"spec.loadBalancerSourceRanges"}},
		{"policies", service + "  type: NodePort\n  externalTrafficPolicy: Local\n  internalTrafficPolicy: Local\n  trafficDistribution: PreferSameNode\n", nil, nil},
		{"zones", service + "  trafficDistribution: PreferClose\n", []string{"spec.trafficDistribution"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			warned, refused := unhonoured(t, c.src)
			if !slices.Equal(warned, c.warned) || !slices.Equal(refused, c.refused) {
				t.Errorf("warned %v, want %v\nrefused %v, want %v", warned, c.warned, refused, c.refused)
			}
		})
	}
}

// Every name in the tables is a field of its type: a misspelled one would warn
// about what is honoured.
func TestHonouredNamesExist(t *testing.T) {
	for _, k := range events.Kinds {
		v, ok := honoured[k.Resource]
		if !ok {
			t.Errorf("%s has no table", k.Name)
			continue
		}
		checkNames(t, v, deref(reflect.TypeOf(k.New())), k.Name)
	}
}

func checkNames(t *testing.T, v verdict, in reflect.Type, path string) {
	t.Helper()
	for in.Kind() == reflect.Slice || in.Kind() == reflect.Pointer {
		in = in.Elem()
	}
	for _, name := range keysOf(v.fields) {
		if name == "*" || in.Kind() == reflect.Map {
			continue
		}
		ft, ok := shapeOf(in).types[name]
		if !ok && name != "status" {
			t.Errorf("%s has no field %s", path, name)
			continue
		}
		if ok {
			checkNames(t, v.fields[name], ft, path+"."+name)
		}
	}
}
