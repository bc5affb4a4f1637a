package manifest

import (
	"slices"
	"strings"
	"testing"
)

func TestValidatePlace(t *testing.T) {
	const needed, liked = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
	near := func(kind, when, list string) string {
		return container + "  affinity: {" + kind + ": {" + when + ": [" + list + "]}}\n"
	}
	spread := func(list string) string { return container + "  topologySpreadConstraints: [" + list + "]\n" }
	const term, constraint = "spec.affinity.podAntiAffinity." + needed + "[0].", "spec.topologySpreadConstraints[0]."
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"a term", near("podAffinity", needed, "{topologyKey: zone, namespaces: [a], namespaceSelector: {}, labelSelector: {matchLabels: {a: b}}, matchLabelKeys: [c], mismatchLabelKeys: [d]}"), nil},
		{"no key", near("podAntiAffinity", needed, "{labelSelector: {}}"), []string{term + "topologyKey: Required value: can not be empty"}},
		{"no such key", near("podAntiAffinity", needed, "{topologyKey: 'a b'}"), []string{term + "topologyKey: Invalid value: \"a b\": name part must consist of"}},
		{"operators", near("podAntiAffinity", needed, "{topologyKey: z, labelSelector: {matchExpressions: [{key: a, operator: Like}]}, namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}"),
			[]string{term + "labelSelector.matchExpressions[0].operator: Invalid value: \"Like\": not a valid selector operator", term + "namespaceSelector.matchExpressions[0].values: Required value: must be specified when"}},
		{"a namespace", near("podAntiAffinity", needed, "{topologyKey: z, namespaces: [A]}"), []string{term + "namespaces[0]: Invalid value: \"A\": a lowercase RFC 1123 label"}},
		{"keys without a selector", near("podAntiAffinity", needed, "{topologyKey: z, matchLabelKeys: [a]}"), []string{term + "matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"}},
		{"keys twice", near("podAntiAffinity", needed, "{topologyKey: z, labelSelector: {matchLabels: {a: b}}, matchLabelKeys: [a, 'c c'], mismatchLabelKeys: [a]}"),
			[]string{term + "matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector", term + "matchLabelKeys[1]: Invalid value: \"c c\"",
				term + "matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and mismatchLabelKeys"}},
		{"weights", near("podAffinity", liked, "{weight: -1, podAffinityTerm: {topologyKey: z}}, {weight: 101, podAffinityTerm: {}}"),
			[]string{"spec.affinity.podAffinity." + liked + "[0].weight: Invalid value: -1: must be in the range 1-100", "spec.affinity.podAffinity." + liked + "[1].weight: Invalid value: 101: must be",
				"spec.affinity.podAffinity." + liked + "[1].podAffinityTerm.topologyKey: Required value: can not be empty"}},

		{"a constraint", spread("{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, minDomains: 2, nodeTaintsPolicy: Honor, labelSelector: {matchLabels: {a: b}}, matchLabelKeys: [c]}, {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}"), nil},
		{"no skew", spread("{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}"), []string{constraint + "maxSkew: Invalid value: 0: must be greater than zero"}},
		{"nothing said", spread("{maxSkew: 1}"), []string{constraint + "topologyKey: Required value: can not be empty", constraint + "whenUnsatisfiable: "}},
		{"an unknown wish", spread("{maxSkew: 1, topologyKey: z, whenUnsatisfiable: Maybe}"), []string{constraint + "whenUnsatisfiable: Unsupported value: \"Maybe\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\""}},
		{"domains", spread("{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, minDomains: 0}"), []string{constraint + "minDomains: Invalid value: 0: must be greater than zero"}},
		{"domains of a wish", spread("{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway, minDomains: 2}"),
			[]string{constraint + "minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"}},
		{"policies", spread("{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, nodeAffinityPolicy: Maybe, nodeTaintsPolicy: No}"),
			[]string{constraint + "nodeAffinityPolicy: Unsupported value: \"Maybe\": supported values: \"Honor\", \"Ignore\"", constraint + "nodeTaintsPolicy: Unsupported value: \"No\""}},
		{"the same twice", spread("{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 2, topologyKey: z, whenUnsatisfiable: DoNotSchedule}"),
			[]string{constraint + "{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, DoNotSchedule}\""}},
		{"keys of a constraint", spread("{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchExpressions: [{key: a, operator: Exists}]}, matchLabelKeys: [a]}"),
			[]string{constraint + "matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := validated(t, c.src)
			match := len(got) == len(c.want)
			for i := range min(len(got), len(c.want)) {
				match = match && strings.HasPrefix(got[i].Error(), c.want[i])
			}
			if !match {
				t.Errorf("got %v\nwant %v", got, c.want)
			}
			if template := validated(t, inTemplate(c.src)); len(template) != len(got) || slices.ContainsFunc(brief(template), func(s string) bool { return !strings.HasPrefix(s, "spec.template.spec.") }) {
				t.Errorf("in a template: %v", template)
			}
		})
	}
}

// inTemplate is a pod's manifest as a deployment's.
func inTemplate(pod string) string {
	_, spec, _ := strings.Cut(pod, "spec:\n")
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      " +
		strings.ReplaceAll(strings.TrimSuffix(spec, "\n"), "\n", "\n    ")[2:] + "\n"
}
