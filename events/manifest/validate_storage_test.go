package manifest

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
)

// read is a defaulted object of a manifest.
func readOne(t *testing.T, text string) events.Object {
	t.Helper()
	docs, problems := Decode("x.yaml", []byte(text))
	if len(problems) > 0 || len(docs) != 1 {
		t.Fatalf("read %s: %v", text, problems)
	}
	Default(docs[0].Object)
	return docs[0].Object
}

const (
	volumeHead = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: v}\nspec: "
	claimHead  = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c, annotations: {pv.kubernetes.io/bind-completed: 'yes'}}\nspec: "
	classHead  = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: c}\n"
	driverHead = "apiVersion: storage.k8s.io/v1\nkind: CSIDriver\nmetadata: {name: d.example.org}\nspec: "
	nodeHead   = "apiVersion: storage.k8s.io/v1\nkind: CSINode\nmetadata: {name: n1}\nspec: "
	attachHead = "apiVersion: storage.k8s.io/v1\nkind: VolumeAttachment\nmetadata: {name: a}\nspec: "
	attribHead = "apiVersion: storage.k8s.io/v1\nkind: VolumeAttributesClass\nmetadata: {name: fast}\n"
)

func TestStorageIsValidated(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}", ""},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], nfs: {server: s, path: /x}}", ""},
		{volumeHead + "{accessModes: [ReadWriteOnce], hostPath: {path: /x}}", "spec.capacity: Required value"},
		{volumeHead + "{capacity: {storage: 0}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}", "must be greater than zero"},
		{volumeHead + "{capacity: {storage: 1Gi}, hostPath: {path: /x}}", "spec.accessModes: Required value"},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [Often], hostPath: {path: /x}}", "spec.accessModes: Unsupported value"},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOncePod, ReadWriteOnce], hostPath: {path: /x}}", "may not use ReadWriteOncePod with other access modes"},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce]}", "must specify a volume type"},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}, nfs: {server: s, path: /x}}", "may not specify more than 1 volume type"},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], local: {path: /x}}", "Local volume requires node affinity"},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a/../b}}", "must not contain '..'"},
		{volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /}, persistentVolumeReclaimPolicy: Recycle}", "may not be 'recycle'"},
		{claimHead + "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}", ""},
		{claimHead + "{resources: {requests: {storage: 1Gi}}}", "at least 1 access mode is required"},
		{claimHead + "{accessModes: [ReadWriteOnce]}", "spec.resources[storage]: Required value"},
		{claimHead + "{accessModes: [ReadWriteOnce], storageClassName: a_b, resources: {requests: {storage: 1Gi}}}", "spec.storageClassName: Invalid value"},
		{classHead + "provisioner: stave.run/local", ""},
		{classHead + "provisioner: ''", "provisioner: Required value"},
		{classHead + "provisioner: a\nreclaimPolicy: Recycle", "reclaimPolicy: Unsupported value"},
		{classHead + "provisioner: a\nvolumeBindingMode: Later", "volumeBindingMode: Unsupported value"},
		{driverHead + "{}", ""},
		{driverHead + "{fsGroupPolicy: Some}", "spec.fsGroupPolicy: Unsupported value"},
		{driverHead + "{tokenRequests: [{audience: a}, {audience: a}]}", "Duplicate value"},
		{driverHead + "{tokenRequests: [{audience: a, expirationSeconds: 5}]}", "may not specify a duration less than 10 minutes"},
		{driverHead + "{volumeLifecycleModes: [Never]}", "spec.volumeLifecycleModes: Unsupported value"},
		{nodeHead + "{drivers: [{name: d, nodeID: n, topologyKeys: [a/b]}]}", ""},
		{nodeHead + "{drivers: [{name: d, nodeID: n}, {name: d, nodeID: m}]}", "Duplicate value"},
		{nodeHead + "{drivers: [{name: d, nodeID: ''}]}", "nodeID: Required value"},
		{attachHead + "{attacher: d, nodeName: n1, source: {persistentVolumeName: v}}", ""},
		{attachHead + "{attacher: d, nodeName: n1, source: {}}", "must specify exactly one"},
		{attribHead + "driverName: d\nparameters: {a: b}", ""},
		{attribHead + "driverName: d", "must contain at least one key/value pair"},
	} {
		said := Validate(readOne(t, c.text)).ToAggregate()
		switch {
		case c.want == "" && said != nil:
			t.Errorf("%s: %v", c.text, said)
		case c.want != "" && (said == nil || !strings.Contains(said.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.text, said, c.want)
		}
	}
}

func TestStorageThatChanges(t *testing.T) {
	claim := func(more, size string) string {
		return claimHead + "{accessModes: [ReadWriteOnce], resources: {requests: {storage: " + size + "}}" + more + "}"
	}
	unbound := strings.Replace(claim("", "1Gi"), "annotations: {pv.kubernetes.io/bind-completed: 'yes'}", "labels: {}", 1)
	volume := volumeHead + "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}"
	for _, c := range []struct{ old, next, want string }{
		{claim(", volumeName: v", "1Gi"), claim(", volumeName: v", "2Gi"), ""},
		{claim(", volumeName: v", "2Gi"), claim(", volumeName: v", "1Gi"), "field can not be less than status.capacity"},
		{claim(", volumeName: v", "1Gi"), claim(", volumeName: w", "1Gi"), "spec is immutable after creation"},
		{unbound, strings.Replace(unbound, "1Gi", "2Gi", 1), "spec is immutable after creation"},
		{claim("", "1Gi"), claim(", volumeName: v", "1Gi"), ""},
		{claim("", "1Gi"), claim(", storageClassName: local", "1Gi"), ""},
		{claim(", storageClassName: local", "1Gi"), claim(", storageClassName: other", "1Gi"), "spec is immutable after creation"},
		{volume, strings.Replace(volume, "/x", "/y", 1), "spec.persistentvolumesource is immutable after creation"},
		{volume, strings.Replace(volume, "1Gi", "2Gi", 1), ""},
		{classHead + "provisioner: a", classHead + "provisioner: b", "updates to provisioner are forbidden"},
		{classHead + "provisioner: a", classHead + "provisioner: a\nparameters: {x: y}", "updates to parameters are forbidden"},
		{classHead + "provisioner: a", classHead + "provisioner: a\nallowVolumeExpansion: true", ""},
		{driverHead + "{}", driverHead + "{attachRequired: false}", "field is immutable"},
		{driverHead + "{}", driverHead + "{podInfoOnMount: true}", ""},
		{attachHead + "{attacher: d, nodeName: n1, source: {persistentVolumeName: v}}", attachHead + "{attacher: d, nodeName: n2, source: {persistentVolumeName: v}}", "field is immutable"},
		{attribHead + "driverName: d\nparameters: {a: b}", attribHead + "driverName: d\nparameters: {a: c}", "updates to parameters are forbidden"},
		{nodeHead + "{drivers: [{name: d, nodeID: n}]}", nodeHead + "{drivers: [{name: d, nodeID: m}]}", "field is immutable"},
		{nodeHead + "{drivers: [{name: d, nodeID: n}]}", nodeHead + "{drivers: [{name: d, nodeID: n, allocatable: {count: 3}}, {name: e, nodeID: n}]}", ""},
	} {
		said := ValidateUpdate(readOne(t, c.old), readOne(t, c.next)).ToAggregate()
		switch {
		case c.want == "" && said != nil:
			t.Errorf("%s\nto %s: %v", c.old, c.next, said)
		case c.want != "" && (said == nil || !strings.Contains(said.Error(), c.want)):
			t.Errorf("%s\nto %s: %v, want %q", c.old, c.next, said, c.want)
		}
	}
}
