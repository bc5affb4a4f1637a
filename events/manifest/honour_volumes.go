package manifest

// volumeFields are what pods can mount. A kind of volume that is not known here
// could not be warned about only: the container would write into nothing.
func volumeFields() map[string]verdict {
	const lost = "it cannot be honoured yet, and to ignore it could lose data"
	const secret = "there are no Secrets yet: the files would be missing"
	const token = "no tokens are given out yet: the file would be missing"
	fields := map[string]verdict{"name": {}, "configMap": {}, "downwardAPI": {}, "hostPath": {},
		"emptyDir": {fields: map[string]verdict{"medium": {warn: "huge pages are not mounted yet", unless: "Memory"}, "sizeLimit": {}}},
		"projected": {fields: map[string]verdict{"defaultMode": {}, "sources": {fields: map[string]verdict{"configMap": {}, "downwardAPI": {},
			"*": {refuse: lost}, "secret": {refuse: secret}, "serviceAccountToken": {refuse: token}}}}}}
	for _, kind := range []string{"gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs",
		"persistentVolumeClaim", "rbd", "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume",
		"quobyte", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos", "csi", "ephemeral", "image"} {
		fields[kind] = verdict{refuse: lost}
	}
	fields["secret"] = verdict{refuse: secret}
	return fields
}

func mountFields() verdict {
	return verdict{fields: map[string]verdict{"name": {}, "mountPath": {}, "readOnly": {}, "subPath": {}, "subPathExpr": {}, "mountPropagation": {},
		"recursiveReadOnly": {refuse: "mounts below it could be written to", unless: "Disabled IfPossible"}}}
}
