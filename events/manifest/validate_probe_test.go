package manifest

import (
	"slices"
	"strings"
	"testing"
)

func TestValidateLives(t *testing.T) {
	box := func(rest string) string { return container + "    " + rest + "\n" }
	initBox := func(rest string) string { return container + "  initContainers: [{name: i, image: x, " + rest + "}]\n" }
	const c0, i0 = "spec.containers[0].", "spec.initContainers[0]."
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"every probe", box("livenessProbe: {exec: {command: [a]}}\n    readinessProbe: {httpGet: {port: web, scheme: HTTPS, httpHeaders: [{name: X-A, value: b}]}, successThreshold: 3}\n" +
			"    startupProbe: {grpc: {port: 5000, service: s}, terminationGracePeriodSeconds: 1}"), nil},
		{"no handler", box("livenessProbe: {periodSeconds: 1}"), []string{c0 + "livenessProbe: FieldValueRequired"}},
		{"two handlers", box("livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}"), []string{c0 + "livenessProbe: FieldValueForbidden"}},
		{"no command", box("readinessProbe: {exec: {command: []}}"), []string{c0 + "readinessProbe.exec.command: FieldValueRequired"}},
		{"ports", box("readinessProbe: {httpGet: {port: 0}}\n    livenessProbe: {tcpSocket: {port: Web_1}}\n    startupProbe: {grpc: {port: 70000}}"),
			[]string{c0 + "livenessProbe.tcpSocket.port: FieldValueInvalid", c0 + "startupProbe.grpc.port: FieldValueInvalid", c0 + "readinessProbe.httpGet.port: FieldValueInvalid"}},
		{"scheme and headers", box("readinessProbe: {httpGet: {port: 1, scheme: FTP, httpHeaders: [{name: 'a b', value: c}]}}"),
			[]string{c0 + "readinessProbe.httpGet.scheme: FieldValueNotSupported", c0 + "readinessProbe.httpGet.httpHeaders[0].name: FieldValueInvalid"}},
		{"numbers", box("readinessProbe: {tcpSocket: {port: 1}, periodSeconds: -1, initialDelaySeconds: -1, timeoutSeconds: -1, failureThreshold: -1, successThreshold: -1}"),
			[]string{c0 + "readinessProbe.initialDelaySeconds: FieldValueInvalid", c0 + "readinessProbe.timeoutSeconds: FieldValueInvalid", c0 + "readinessProbe.periodSeconds: FieldValueInvalid",
				c0 + "readinessProbe.successThreshold: FieldValueInvalid", c0 + "readinessProbe.failureThreshold: FieldValueInvalid"}},
		{"liveness takes one success", box("livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}"), []string{c0 + "livenessProbe.successThreshold: FieldValueInvalid"}},
		{"startup takes one success", box("startupProbe: {tcpSocket: {port: 1}, successThreshold: 2}"), []string{c0 + "startupProbe.successThreshold: FieldValueInvalid"}},
		{"grace of a probe", box("livenessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 0}\n    readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 1}"),
			[]string{c0 + "livenessProbe.terminationGracePeriodSeconds: FieldValueInvalid", c0 + "readinessProbe.terminationGracePeriodSeconds: FieldValueInvalid"}},
		{"hooks", box("lifecycle: {postStart: {exec: {command: [a]}}, preStop: {sleep: {seconds: 3}}}"), nil},
		{"hooks without a handler", box("lifecycle: {postStart: {}, preStop: {exec: {command: [a]}, sleep: {seconds: 3}}}"),
			[]string{c0 + "lifecycle.postStart: FieldValueRequired", c0 + "lifecycle.preStop: FieldValueForbidden"}},
		{"a sleep beyond the grace", box("lifecycle: {preStop: {sleep: {seconds: 31}}}"), []string{c0 + "lifecycle.preStop.sleep: FieldValueInvalid"}},
		{"sidecar", initBox("restartPolicy: Always, startupProbe: {tcpSocket: {port: 1}}, lifecycle: {preStop: {sleep: {seconds: 1}}}"), nil},
		{"an init container has no life", initBox("startupProbe: {tcpSocket: {port: 1}}, lifecycle: {preStop: {sleep: {seconds: 1}}}"),
			[]string{i0 + "lifecycle: FieldValueForbidden", i0 + "startupProbe: FieldValueForbidden"}},
		{"an init container's name", strings.Replace(initBox("env: []"), "name: i", "name: a", 1), []string{"spec.containers[0].name: FieldValueDuplicate"}},
	} {
		if got := brief(validated(t, c.src)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
