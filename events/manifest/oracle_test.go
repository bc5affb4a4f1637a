package manifest

import (
	"slices"
	"testing"
)

// What Kubernetes' own validation says of objects that were changed at random: each of these was told otherwise here once.
func TestAsKubernetesSays(t *testing.T) {
	const (
		head  = "metadata: {name: x}\n"
		class = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\n" + head + "provisioner: a.b/c\n"
		hook  = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: x, finalizers: [plain]}\n" +
			"webhooks: [{name: a.b.c, sideEffects: None, clientConfig: {url: 'https://a.b'}, admissionReviewVersions: "
		pv   = "apiVersion: v1\nkind: PersistentVolume\n" + head + "spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], "
		node = "apiVersion: v1\nkind: Node\n" + head + "spec: "
		bare = "apiVersion: v1\nkind: Pod\n" + head + "spec: {containers: [{name: a, image: b}], "
		eps  = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" + head + "addressType: IPv4\nendpoints: []\nports: [{port: 80, appProtocol: "
		box  = "apiVersion: v1\nkind: Pod\n" + head + "spec: {volumes: [{name: v, emptyDir: {}}], containers: [{name: a, image: b, "
	)
	for name, c := range map[string]struct {
		src  string
		want []string
	}{
		"a sum of all roles":        {"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n" + head + "aggregationRule: {clusterRoleSelectors: [{}]}\n", nil},
		"a finalizer of a hook":     {hook + "[v1]}]\n", nil},
		"of a budget":               {"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: x, finalizers: [plain]}\nspec: {maxUnavailable: 1}\n", nil},
		"of a runtime class":        {"apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: x, finalizers: [plain]}\nhandler: runc\n", nil},
		"what clusters put there":   {"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.b.c, finalizers: [customresourcecleanup.apiextensions.k8s.io]}\nspec: {group: b.c, scope: Namespaced, names: {plural: as, kind: A}, versions: [{name: v1, served: true, storage: true}]}\n", nil},
		"of a ConfigMap":            {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, finalizers: [plain]}\n", []string{"metadata.finalizers[0]: FieldValueInvalid"}},
		"a namespace's own":         {"apiVersion: v1\nkind: Namespace\n" + head + "spec: {finalizers: [kubernetes, a/b]}\n", nil},
		"a namespace's plain one":   {"apiVersion: v1\nkind: Namespace\n" + head + "spec: {finalizers: [plain]}\n", []string{"spec.finalizers[0]: FieldValueInvalid"}},
		"versions twice":            {hook + "[v1, v1, V2]}]\n", []string{"webhooks[0].admissionReviewVersions[1]: FieldValueInvalid", "webhooks[0].admissionReviewVersions[2]: FieldValueInvalid"}},
		"topologies twice":          {class + "allowedTopologies: [{matchLabelExpressions: [{key: a, values: [b, b]}, {key: a, values: [c]}]}]\n", []string{"allowedTopologies[0].matchLabelExpressions[0].values[1]: FieldValueDuplicate", "allowedTopologies[0].matchLabelExpressions[1].key: FieldValueDuplicate"}},
		"a class of attributes":     {pv + "hostPath: {path: /x}, volumeAttributesClassName: ''}\n", []string{"spec.volumeAttributesClassName: FieldValueRequired", "spec.csi: FieldValueRequired"}},
		"a node's ranges":           {node + "{podCIDR: 10.0.0.0/24, podCIDRs: [10.0.0.0/24, 'fd00::/64']}\n", nil},
		"no ranges":                 {node + "{podCIDRs: [x, 10.0.0.1/24]}\n", []string{"spec.podCIDRs[0]: FieldValueInvalid", "spec.podCIDRs[1]: FieldValueInvalid"}},
		"ranges that differ":        {node + "{podCIDR: 10.0.0.0/24, podCIDRs: [10.0.1.0/24, 10.0.2.0/24]}\n", []string{"spec.podCIDRs[0]: FieldValueInvalid", "spec.podCIDRs: FieldValueInvalid"}},
		"a class by no name":        {bare + "priorityClassName: A_b, preemptionPolicy: Sometimes}\n", []string{"spec.preemptionPolicy: FieldValueNotSupported", "spec.priorityClassName: FieldValueInvalid"}},
		"what a pod takes":          {bare + "resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2}}}\n", nil},
		"less than nothing":         {bare + "resources: {requests: {cpu: -1, ephemeral-storage: 1}, claims: [{name: a}]}}\n", []string{"spec.resources.requests[cpu]: FieldValueInvalid", "spec.resources.claims: FieldValueForbidden", "spec.resources.requests[ephemeral-storage]: FieldValueNotSupported"}},
		"a field of another v":      {box + "env: [{name: A, valueFrom: {fieldRef: {apiVersion: v2, fieldPath: metadata.name}}}]}]}\n", []string{"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: FieldValueInvalid"}},
		"read only, recursively":    {box + "volumeMounts: [{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: IfPossible}]}]}\n", nil},
		"recursively, and writable": {box + "volumeMounts: [{name: v, mountPath: /v, recursiveReadOnly: IfPossible, mountPropagation: HostToContainer}, {name: v, mountPath: /w, readOnly: true, recursiveReadOnly: Maybe}]}]}\n", []string{"spec.containers[0].volumeMounts[0].recursiveReadOnly: FieldValueForbidden", "spec.containers[0].volumeMounts[0].recursiveReadOnly: FieldValueForbidden", "spec.containers[0].volumeMounts[1].recursiveReadOnly: FieldValueNotSupported"}},
		"a policy of families":      {"apiVersion: v1\nkind: Service\n" + head + "spec: {ipFamilyPolicy: Both, ports: [{port: 80}]}\n", []string{"spec.ipFamilyPolicy: FieldValueNotSupported"}},
		"a spoken protocol":         {eps + "kubernetes.io/h2c}]\n", nil},
		"no spoken protocol":        {eps + "'a b'}]\n", []string{"ports[0].appProtocol: FieldValueInvalid"}},
		"what limits claims":        {"apiVersion: v1\nkind: LimitRange\n" + head + "spec: {limits: [{type: PersistentVolumeClaim, min: {storage: 1Gi, disk: 1}}]}\n", []string{"spec.limits[0].min[disk]: FieldValueInvalid"}},
	} {
		if got := brief(validated(t, c.src)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\nhave %q\nwant %q", name, got, c.want)
		}
	}
}
