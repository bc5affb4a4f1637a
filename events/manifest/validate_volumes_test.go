package manifest

import (
	"slices"
	"testing"
)

func TestValidateVolumes(t *testing.T) {
	volume := func(rest string) string { return container + "  volumes: [{name: v, " + rest + "}]\n" }
	mount := func(rest string) string {
		return container + "    volumeMounts: [{name: v, mountPath: /x, " + rest + "}]\n  volumes: [{name: v}]\n"
	}
	const at = "spec.volumes[0]."
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"host path", volume("hostPath: {path: /a, type: DirectoryOrCreate}"), nil},
		{"host path without a type", volume("hostPath: {path: /a}"), nil},
		{"host path, nothing", volume("hostPath: {type: ''}"), []string{at + "hostPath.path: FieldValueRequired"}},
		{"host path, dots and type", volume("hostPath: {path: /a/../b, type: Folder}"), []string{at + "hostPath.path: FieldValueInvalid", at + "hostPath.type: FieldValueNotSupported"}},
		{"image", volume("image: {reference: 'docs:2', pullPolicy: Never}"), nil},
		{"image, nothing", volume("image: {pullPolicy: Sometimes}"), []string{at + "image.reference: FieldValueRequired", at + "image.pullPolicy: FieldValueNotSupported"}},
		{"two kinds", volume("hostPath: {path: /a}, downwardAPI: {}"), []string{at + "downwardAPI: FieldValueForbidden"}},
		{"downward", volume("downwardAPI: {defaultMode: 256, items: [{path: a/b, fieldRef: {fieldPath: \"metadata.labels['app']\"}, mode: 420}, {path: c, resourceFieldRef: {containerName: c, resource: limits.cpu, divisor: 1m}}]}"), nil},
		{"downward, fields", volume("downwardAPI: {defaultMode: 512, items: [{fieldRef: {fieldPath: metadata.name}}, {path: ../a, fieldRef: {fieldPath: status.podIP}}, {path: c}]}"),
			[]string{at + "downwardAPI.defaultMode: FieldValueInvalid", at + "downwardAPI.items[0].path: FieldValueRequired", at + "downwardAPI.items[1].path: FieldValueInvalid",
				at + "downwardAPI.items[1].fieldRef.fieldPath: FieldValueNotSupported", at + "downwardAPI.items[2]: FieldValueRequired"}},
		{"downward, resources", volume("downwardAPI: {items: [{path: a, resourceFieldRef: {resource: limits.disk}}, {path: b, resourceFieldRef: {containerName: c, resource: requests.memory, divisor: 3}}]}"),
			[]string{at + "downwardAPI.items[0].resourceFieldRef.containerName: FieldValueRequired", at + "downwardAPI.items[0].resourceFieldRef.resource: FieldValueNotSupported",
				at + "downwardAPI.items[1].resourceFieldRef.divisor: FieldValueInvalid"}},
		{"downward, both", volume("downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}, resourceFieldRef: {resource: limits.cpu}}]}"), []string{at + "downwardAPI.items[0]: FieldValueInvalid"}},
		{"a path with dots at its head", volume("configMap: {name: c, items: [{key: k, path: ..data}]}"), []string{at + "configMap.items[0].path: FieldValueInvalid"}},
		{"projected", volume("projected: {sources: [{configMap: {name: c, items: [{key: a, path: x}]}}, {downwardAPI: {items: [{path: y, fieldRef: {fieldPath: metadata.uid}}]}}]}"), nil},
		{"projected, wrong", volume("projected: {defaultMode: 1024, sources: [{configMap: {items: [{key: a, path: x}]}}, {downwardAPI: {items: [{path: x, fieldRef: {fieldPath: metadata.uid}}]}}]}"),
			[]string{at + "projected.defaultMode: FieldValueInvalid", at + "projected.sources[0].configMap.name: FieldValueRequired", at + "projected.sources[1]: FieldValueInvalid"}},
		{"a variable's resource", container + "    env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1Mi}}}, {name: B, valueFrom: {resourceFieldRef: {}}}]\n",
			[]string{"spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: FieldValueInvalid", "spec.containers[0].env[1].valueFrom.resourceFieldRef.resource: FieldValueRequired"}},
		{"sub paths", mount("subPath: ../a, subPathExpr: /b"), []string{"spec.containers[0].volumeMounts[0].subPath: FieldValueInvalid",
			"spec.containers[0].volumeMounts[0].subPathExpr: FieldValueInvalid", "spec.containers[0].volumeMounts[0].subPathExpr: FieldValueInvalid"}},
		{"propagation", mount("mountPropagation: HostToContainer"), nil},
		{"both ways, not privileged", mount("mountPropagation: Bidirectional"), []string{"spec.containers[0].volumeMounts[0].mountPropagation: FieldValueForbidden"}},
		{"no such way", mount("mountPropagation: Up"), []string{"spec.containers[0].volumeMounts[0].mountPropagation: FieldValueNotSupported"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := brief(validated(t, c.src)); !slices.Equal(got, c.want) {
				t.Errorf("got %v\nwant %v", got, c.want)
			}
		})
	}
}
