package manifest

import (
	"strings"
	"testing"
)

// An Ingress breaks Kubernetes' rules in Kubernetes' words, with the place of each.
func TestIngressRules(t *testing.T) {
	const head = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: "
	const good = "backend: {service: {name: web, port: {number: 80}}}"
	for spec, want := range map[string]string{
		`{}`:                                    "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
		`{rules: [{host: a.b}, {host: "*.b"}]}`: "",
		`{rules: [{host: "10.0.0.1"}]}`:         "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
		`{rules: [{host: "a.*"}]}`:              "spec.rules[0].host: Invalid value: \"a.*\": a wildcard DNS-1123 subdomain must start with '*.'",
		`{rules: [{http: {paths: []}}]}`:        "spec.rules[0].http.paths: Required value",
		`{rules: [{http: {paths: [{path: /, ` + good + `}]}}]}`:                          "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
		`{rules: [{http: {paths: [{path: /, pathType: Prefix, ` + good + `}]}}]}`:        "",
		`{rules: [{http: {paths: [{pathType: ImplementationSpecific, ` + good + `}]}}]}`: "",
		`{rules: [{http: {paths: [{pathType: Exact, ` + good + `}]}}]}`:                  "must be an absolute path",
		`{rules: [{http: {paths: [{path: /a/../b, pathType: Exact, ` + good + `}]}}]}`:   "must not contain '/../'",
		`{rules: [{http: {paths: [{path: /a/.., pathType: Prefix, ` + good + `}]}}]}`:    "cannot end with '/..'",
		`{rules: [{http: {paths: [{path: /, pathType: Glob, ` + good + `}]}}]}`:          "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Glob\"",
		`{defaultBackend: {}}`:                                                     "spec.defaultBackend: Invalid value: \"\": resource or service backend is required",
		`{defaultBackend: {service: {name: web}}}`:                                 "spec.defaultBackend: Required value: port name or number is required",
		`{defaultBackend: {service: {name: web, port: {number: 80, name: http}}}}`: "cannot set both port name & port number",
		`{defaultBackend: {service: {name: web, port: {number: 70000}}}}`:          "spec.defaultBackend.service.port.number: Invalid value: 70000",
		`{defaultBackend: {resource: {kind: Bucket, name: ""}}}`:                   "spec.defaultBackend.resource.name: Required value",
		`{rules: [{host: a.b}], tls: [{hosts: ["*"], secretName: S}]}`:             "spec.tls[0].secretName: Invalid value: \"S\"",
		`{rules: [{host: a.b}], ingressClassName: "A B"}`:                          "spec.ingressClassName: Invalid value: \"A B\"",
	} {
		docs, problems := Decode("i.yaml", []byte(head+spec+"\n"))
		if len(problems) > 0 || len(docs) != 1 {
			t.Errorf("%s: %v", spec, problems)
			continue
		}
		Default(docs[0].Object)
		errs := Validate(docs[0].Object)
		if got := errs.ToAggregate(); want == "" && got != nil || want != "" && (got == nil || !strings.Contains(got.Error(), want)) {
			t.Errorf("%s: %v, want %q", spec, got, want)
		}
	}
}
