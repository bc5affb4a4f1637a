package manifest

import (
	"slices"
	"strings"
	"testing"
)

// What containers say of their restarts is checked by Kubernetes' rules, in each of a pod's lists.
func TestValidateRestarts(t *testing.T) {
	const c0, i0, e0 = "spec.containers[0].", "spec.initContainers[0].", "spec.ephemeralContainers[0]."
	const rules = "restartPolicyRules"
	box := func(rest string) string { return container + "    " + rest + "\n" }
	initBox := func(rest string) string { return container + "  initContainers: [{name: i, image: x, " + rest + "}]\n" }
	rule := func(rest string) string { return "restartPolicy: Never, restartPolicyRules: [{" + rest + "}]" }
	inBox := func(rest string) string {
		return strings.Replace(container, "name: a", "name: a\n    "+strings.ReplaceAll(rest, ", restartPolicyRules", "\n    restartPolicyRules"), 1)
	}
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+", ", n), ", ") }
	const good = "{action: Restart, exitCodes: {operator: In, values: [42]}}"
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"a container that always goes on", box("restartPolicy: Always"), nil},
		{"one that never does", box("restartPolicy: Never"), nil},
		{"one that does on failure", box("restartPolicy: OnFailure"), nil},
		{"another word", box("restartPolicy: Sometimes"), []string{c0 + "restartPolicy: FieldValueNotSupported"}},
		{"no word", box("restartPolicy: ''"), []string{c0 + "restartPolicy: FieldValueNotSupported"}},
		{"an init container that is tried once", initBox("restartPolicy: Never"), nil},
		{"one that is tried until it succeeds", initBox("restartPolicy: OnFailure"), nil},
		{"another word of an init container", initBox("restartPolicy: Sometimes"), []string{i0 + "restartPolicy: FieldValueNotSupported"}},
		{"one with a policy has no life all the same", initBox("restartPolicy: Never, startupProbe: {tcpSocket: {port: 1}}"), []string{i0 + "startupProbe: FieldValueForbidden"}},
		{"a rule", inBox(rule("action: Restart, exitCodes: {operator: In, values: [42]}")), nil},
		{"a rule for all of the pod", inBox(rule("action: RestartAllContainers, exitCodes: {operator: In, values: [42]}")), nil},
		{"a rule for all of the pod, of a sidecar", initBox("restartPolicy: Always, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In}}]"), nil},
		{"a rule of an init container", initBox(rule("action: Restart, exitCodes: {operator: NotIn, values: [0, 1]}")), nil},
		{"a rule of a sidecar", initBox("restartPolicy: Always, restartPolicyRules: [" + good + "]"), nil},
		{"no codes are some", inBox(rule("action: Restart, exitCodes: {operator: In}")), nil},
		{"a rule without a policy", box(rules + ": [" + good + "]"), []string{c0 + "restartPolicy: FieldValueRequired"}},
		{"the same of an init container", initBox(rules + ": [" + good + "]"), []string{i0 + "restartPolicy: FieldValueRequired"}},
		{"nothing to do, on nothing", inBox(rule("")), []string{c0 + rules + "[0].action: FieldValueNotSupported", c0 + rules + "[0].exitCodes: FieldValueRequired"}},
		{"words", initBox(rule("action: Stop, exitCodes: {operator: Like, values: [1]}")),
			[]string{i0 + rules + "[0].action: FieldValueNotSupported", i0 + rules + "[0].exitCodes.operator: FieldValueNotSupported"}},
		{"as many rules as may be", initBox("restartPolicy: Never, restartPolicyRules: [" + many(20, good) + "]"), nil},
		{"one more", initBox("restartPolicy: Never, restartPolicyRules: [" + many(21, good) + "]"), []string{i0 + rules + ": FieldValueTooMany"}},
		{"as many codes as may be", initBox(rule("action: Restart, exitCodes: {operator: In, values: [" + many(255, "7") + "]}")), nil},
		{"one code more", initBox(rule("action: Restart, exitCodes: {operator: In, values: [" + many(256, "7") + "]}")),
			[]string{i0 + rules + "[0].exitCodes.values: FieldValueTooMany"}},
		{"who looks in runs once", container + "  ephemeralContainers: [{name: e, image: x, " + rule("action: Restart, exitCodes: {operator: In, values: [1]}") + "}]\n",
			[]string{e0 + "restartPolicy: FieldValueForbidden", e0 + rules + ": FieldValueForbidden"}},
	} {
		if got := brief(validated(t, c.src)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v\n%s", c.name, got, c.want, c.src)
		}
	}
}
