package manifest

// podSpec says which fields of a pod, or of a template's, do something.
func podSpec() verdict {
	const unsafe = "it cannot be honoured yet, and to ignore it would weaken security"
	const lost = "it cannot be honoured yet, and to ignore it could lose data"
	return verdict{fields: map[string]verdict{
		"containers": {fields: containerFields(unsafe)}, "restartPolicy": {}, "terminationGracePeriodSeconds": {}, "nodeName": {},
		"nodeSelector": {}, "tolerations": {}, "hostname": {}, "subdomain": {}, "setHostnameAsFQDN": {}, "dnsPolicy": {}, "dnsConfig": {}, "enableServiceLinks": {},
		"schedulerName":    {warn: "there is one scheduler, it takes the pod", unless: "default-scheduler"},
		"securityContext":  podSecurity(unsafe),
		"volumes":          {fields: volumeFields(lost)},
		"initContainers":   {refuse: "it cannot be honoured yet, and containers would start without what it prepares"},
		"imagePullSecrets": {refuse: "it cannot be honoured yet: the image would be pulled without it"},
		"hostNetwork":      {refuse: "it cannot be honoured yet: the pod would get a network of its own", unless: "false"},
		"hostPID":          {warn: "the pod keeps process ids of its own", unless: "false"},
		"hostIPC":          {warn: "the pod keeps IPC of its own", unless: "false"},
		"serviceAccount":   {warn: ignored, unless: "default"}, "serviceAccountName": {warn: ignored, unless: "default"},
		"automountServiceAccountToken": {}, // no token is ever mounted
		"runtimeClassName":             {refuse: unsafe},
		"hostUsers":                    {refuse: unsafe, unless: "true"},
		"shareProcessNamespace":        {warn: ignored, unless: "false"},
		"preemptionPolicy":             {warn: ignored, unless: "PreemptLowerPriority"},
	}}
}

// less is what becomes of a setting that would have given a container more.
const less = "the container does not get it"

// podSecurity and containerSecurity: what would take rights away is refused,
// what would give more is only warned about.
func podSecurity(unsafe string) verdict {
	return verdict{fields: map[string]verdict{
		"*": {refuse: unsafe}, "runAsNonRoot": {refuse: unsafe, unless: "false"}, "fsGroup": {warn: less}, "fsGroupChangePolicy": {warn: ignored},
		"supplementalGroups": {warn: less}, "supplementalGroupsPolicy": {warn: ignored}, "sysctls": {warn: less},
	}}
}

func containerSecurity(unsafe string) verdict {
	return verdict{fields: map[string]verdict{
		"*": {refuse: unsafe}, "runAsNonRoot": {refuse: unsafe, unless: "false"}, "privileged": {warn: less, unless: "false"},
		"allowPrivilegeEscalation": {refuse: unsafe, unless: "true"}, "readOnlyRootFilesystem": {refuse: unsafe, unless: "false"},
		"procMount": {warn: less, unless: "Default"}, "capabilities": {fields: map[string]verdict{"add": {warn: less}, "drop": {refuse: unsafe}}},
	}}
}

func containerFields(unsafe string) map[string]verdict {
	return map[string]verdict{
		"name": {}, "image": {}, "command": {}, "args": {}, "workingDir": {}, "stdin": {}, "stdinOnce": {}, "tty": {}, "imagePullPolicy": {},
		"env": {fields: map[string]verdict{"name": {}, "value": {}, "valueFrom": {fields: map[string]verdict{
			"configMapKeyRef": {}, "fieldRef": {},
			"secretKeyRef": {refuse: "there are no Secrets yet: the variable would be missing"},
		}}}},
		"envFrom": {fields: map[string]verdict{"prefix": {}, "configMapRef": {},
			"secretRef": {refuse: "there are no Secrets yet: the variables would be missing"}}},
		"ports": {fields: map[string]verdict{"name": {}, "containerPort": {}, "protocol": {}}},
		"resources": {fields: map[string]verdict{
			"limits":   {fields: map[string]verdict{"cpu": {}, "memory": {}}},
			"requests": {fields: map[string]verdict{"cpu": {}, "memory": {}}}}},
		"volumeMounts": {fields: map[string]verdict{"name": {}, "mountPath": {}, "readOnly": {}, "subPath": {}, "subPathExpr": {},
			"mountPropagation": {warn: ignored, unless: "None"}}},
		"volumeDevices":            {refuse: "it cannot be honoured yet: the container would start without its device"},
		"securityContext":          containerSecurity(unsafe),
		"terminationMessagePath":   {warn: ignored, unless: "/dev/termination-log"},
		"terminationMessagePolicy": {warn: ignored, unless: "File"},
	}
}

// volumeFields are what pods can mount. A kind of volume that is not known here
// could not be warned about only: the container would write into nothing.
func volumeFields(lost string) map[string]verdict {
	fields := map[string]verdict{"name": {}, "configMap": {},
		"emptyDir": {fields: map[string]verdict{"medium": {warn: "huge pages are not mounted yet", unless: "Memory"}, "sizeLimit": {warn: "only volumes of memory are bounded yet"}}}}
	for _, kind := range []string{"hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "secret", "nfs", "iscsi", "glusterfs",
		"persistentVolumeClaim", "rbd", "flexVolume", "cinder", "cephfs", "flocker", "downwardAPI", "fc", "azureFile", "vsphereVolume",
		"quobyte", "azureDisk", "photonPersistentDisk", "projected", "portworxVolume", "scaleIO", "storageos", "csi", "ephemeral", "image"} {
		fields[kind] = verdict{refuse: lost}
	}
	return fields
}
