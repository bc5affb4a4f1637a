package manifest

// volumeFields are what pods can mount. A kind of volume that is not known here
// could not be warned about only: the container would write into nothing.
func volumeFields() map[string]verdict {
	const lost = "it cannot be honoured yet, and to ignore it could lose data"
	fields := map[string]verdict{"name": {}, "configMap": {}, "secret": {}, "downwardAPI": {}, "hostPath": {},
		"persistentVolumeClaim": {}, "ephemeral": ephemeralVolume(),
		"image":    {fields: map[string]verdict{"reference": {}, "pullPolicy": {}}},
		"emptyDir": {fields: map[string]verdict{"medium": {warn: "huge pages are not mounted yet", unless: "Memory"}, "sizeLimit": {}}},
		"projected": {fields: map[string]verdict{"defaultMode": {}, "sources": {fields: map[string]verdict{"configMap": {}, "secret": {}, "downwardAPI": {},
			"*": {refuse: lost}, "serviceAccountToken": {},
			"clusterTrustBundle": {fields: map[string]verdict{"name": {}, "signerName": {}, "labelSelector": {}, "optional": {}, "path": {}}},
			"podCertificate": {fields: map[string]verdict{"signerName": {}, "keyType": {}, "maxExpirationSeconds": {}, "credentialBundlePath": {}, "keyPath": {},
				"certificateChainPath": {}, "userAnnotations": {}}}}}}}}
	for _, kind := range []string{"gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs",
		"rbd", "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume",
		"quobyte", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos"} {
		fields[kind] = verdict{refuse: lost}
	}
	// A pod that waits writes nothing that could be lost.
	fields["csi"] = verdict{warn: "no storage driver is run here: the pod waits for it, and says so"}
	return fields
}

func mountFields() verdict {
	return verdict{fields: map[string]verdict{"name": {}, "mountPath": {}, "readOnly": {}, "subPath": {}, "subPathExpr": {}, "mountPropagation": {},
		"bindMountOptions":  {refuse: "programs, devices and set-user-id bits of the volume would be taken as without it"},
		"recursiveReadOnly": {refuse: "mounts below it could be written to", unless: "Disabled IfPossible"}}}
}
