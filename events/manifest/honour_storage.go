package manifest

// noBlocks is what becomes of volumes that are devices.
const noBlocks = "no container gets a device yet: pods that claim it wait"

func volumeSpec() verdict {
	return verdict{fields: map[string]verdict{
		"capacity": {}, "accessModes": {}, "claimRef": {}, "storageClassName": {}, "nodeAffinity": {}, "hostPath": {},
		"persistentVolumeReclaimPolicy": {warn: "nothing empties a volume for the next claim: it is Failed when its claim is gone", unless: "Retain Delete"},
		"local":                         {fields: map[string]verdict{"path": {}, "fsType": {warn: "a directory is mounted, and no device formatted"}}},
		"mountOptions":                  {warn: "directories are mounted as they are, without options"},
		"volumeMode":                    {warn: noBlocks, unless: "Filesystem"},
		"volumeAttributesClassName":     {warn: "nothing changes the attributes of volumes"},
		"*":                             {warn: "volumes of this kind are not mounted yet: pods that claim it wait"},
	}}
}

func claimSpec() verdict {
	const empty = "nothing fills a volume from it: it would be empty"
	return verdict{fields: map[string]verdict{
		"accessModes": {}, "selector": {}, "volumeName": {}, "storageClassName": {},
		"resources":  {fields: map[string]verdict{"requests": {}, "limits": {warn: "nothing holds a volume to it, as in Kubernetes"}}},
		"volumeMode": {warn: noBlocks, unless: "Filesystem"},
		"dataSource": {refuse: empty}, "dataSourceRef": {refuse: empty},
		"volumeAttributesClassName": {warn: "nothing changes the attributes of volumes"},
	}}
}

func ephemeralVolume() verdict {
	return verdict{fields: map[string]verdict{"volumeClaimTemplate": {fields: map[string]verdict{
		"metadata": {fields: map[string]verdict{"labels": {}, "annotations": {}, "creationTimestamp": {}}}, "spec": claimSpec()}}}}
}
