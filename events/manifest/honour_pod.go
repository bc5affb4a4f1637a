package manifest

// Nine kinds have a pod in them: what is said of it is made once, and only read.
var (
	wholePod    = podSpec()
	podTemplate = template()
)

// podSpec says which fields of a pod, or of a template's, do something.
func podSpec() verdict {
	const unsafe = "it cannot be honoured yet, and to ignore it would weaken security"
	return verdict{fields: map[string]verdict{
		"containers": {fields: containerFields()}, "restartPolicy": {}, "terminationGracePeriodSeconds": {}, "nodeName": {},
		"nodeSelector": {}, "tolerations": {}, "schedulingGates": {}, "os": {}, "hostname": {}, "hostnameOverride": {}, "subdomain": {}, "setHostnameAsFQDN": {}, "dnsPolicy": {}, "dnsConfig": {}, "enableServiceLinks": {},
		"schedulerName":       {},
		"securityContext":     podSecurity(),
		"volumes":             {fields: volumeFields()},
		"initContainers":      {fields: containerFields()},
		"ephemeralContainers": {fields: ephemeralFields()},
		"readinessGates":      {},
		"imagePullSecrets":    {},
		"hostNetwork":         {}, "hostPID": {}, "hostIPC": {}, "hostAliases": {},
		"affinity":                  {fields: map[string]verdict{"nodeAffinity": {}, "podAffinity": {}, "podAntiAffinity": {}}},
		"topologySpreadConstraints": {},
		"serviceAccount":            {}, "serviceAccountName": {}, "automountServiceAccountToken": {},
		"runtimeClassName":      {},
		"overhead":              {},
		"hostUsers":             {refuse: unsafe, unless: "true"},
		"shareProcessNamespace": {}, "activeDeadlineSeconds": {},
		"priorityClassName": {},
		"priority":          {},
		"preemptionPolicy":  {},
	}}
}

func containerFields() map[string]verdict {
	return map[string]verdict{
		"name": {}, "image": {}, "command": {}, "args": {}, "workingDir": {}, "stdin": {}, "stdinOnce": {}, "tty": {}, "imagePullPolicy": {},
		"env": {fields: map[string]verdict{"name": {}, "value": {}, "valueFrom": {fields: map[string]verdict{
			"configMapKeyRef": {}, "fieldRef": {}, "resourceFieldRef": {}, "secretKeyRef": {},
		}}}},
		"envFrom": {fields: map[string]verdict{"prefix": {}, "configMapRef": {}, "secretRef": {}}},
		"ports": {fields: map[string]verdict{"name": {}, "hostPort": {}, "containerPort": {}, "hostIP": {},
			"protocol": {warn: "a hostPort of SCTP leads nowhere yet", unless: "TCP UDP"}}},
		"resources": {fields: map[string]verdict{
			"limits": {fields: map[string]verdict{"cpu": {}, "memory": {}, "ephemeral-storage": {}, extended: {}}},
			"requests": {fields: map[string]verdict{"cpu": {}, "memory": {}, extended: {},
				"ephemeral-storage": {warn: "it counts in quotas and limit ranges; no node sets it aside"}}}}},
		"resizePolicy":           {},
		"volumeMounts":           mountFields(),
		"volumeDevices":          {refuse: "it cannot be honoured yet: the container would start without its device"},
		"securityContext":        containerSecurity(),
		"terminationMessagePath": {}, "terminationMessagePolicy": {}, "restartPolicy": {}, "restartPolicyRules": {},
		"livenessProbe": {}, "readinessProbe": {}, "startupProbe": {},
		"lifecycle": {fields: map[string]verdict{"postStart": hook(), "preStop": hook()}},
	}
}

func ephemeralFields() map[string]verdict {
	f := containerFields()
	f["targetContainerName"] = verdict{}
	return f
}

// hook is what a container can ask for at its beginning and end. Kubernetes takes tcpSocket and then fails; so do we, before.
func hook() verdict {
	return verdict{fields: map[string]verdict{"exec": {}, "httpGet": {}, "sleep": {},
		"tcpSocket": {refuse: "no hook can do it, here or in Kubernetes: use exec, httpGet or sleep"}}}
}
