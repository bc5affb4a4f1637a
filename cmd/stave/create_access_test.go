package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What kubectl makes of the same line, but for what the server fills in.
func TestCreatedAccess(t *testing.T) {
	for line, want := range map[string]string{
		"serviceaccount builder": "kind: ServiceAccount\nmetadata:\n  name: builder\n",
		"role r --verb=get,list --resource=pods,deployments.apps,pods/log": `rules:
- apiGroups:
  - ""
  resources:
  - pods
  - pods/log
  verbs:
  - get
  - list
- apiGroups:
  - apps
  resources:
  - deployments
  verbs:
  - get
  - list
`,
		"clusterrole r --verb=* --resource=* --resource-name=a": "rules:\n- apiGroups:\n  - '*'\n  resourceNames:\n  - a\n  resources:\n  - '*'\n  verbs:\n  - '*'\n",
		"rolebinding b --role=r --user=ann --serviceaccount=blue:builder": `roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: r
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: ann
- kind: ServiceAccount
  name: builder
  namespace: blue
`,
		"clusterrolebinding b --clusterrole=r --group=devs": "kind: ClusterRole\n  name: r\nsubjects:\n- apiGroup: rbac.authorization.k8s.io\n  kind: Group\n  name: devs\n",
		"quota q --hard=pods=10,cpu=4":                      "spec:\n  hard:\n    cpu: \"4\"\n    pods: \"10\"\n",
		"priorityclass p --value=10":                        "name: p\nvalue: 10\n",
	} {
		code, out, errs := ran(t, append([]string{"create", "--dry-run=client", "-o", "yaml"}, strings.Fields(line)...)...)
		if out = strings.ReplaceAll(out, "  namespace: default\n", ""); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d\n%s%s", line, code, out, errs)
		}
	}
	for line, want := range map[string]string{
		"role r --verb=get":                      "at least one verb and one resource",
		"role r --verb=get --resource=podz":      `did you mean "pods"?`,
		"rolebinding b --user=ann":               "exactly one of --clusterrole or --role",
		"rolebinding b --role=r --clusterrole=r": "exactly one of --clusterrole or --role",
		"clusterrolebinding b --role=r":          "exactly one of --clusterrole or --role",
		"quota q --hard=pods":                    "--hard=pods: want pods=10,cpu=4",
		"serviceaccount a b":                     "exactly one NAME",
	} {
		if code, _, errs := ran(t, append([]string{"create", "--dry-run=client"}, strings.Fields(line)...)...); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d\n%s", line, code, errs)
		}
	}
}

// -f takes files with commas between them, and patterns that no shell has seen.
func TestPatternsOfFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b.yaml", "c,d.yaml", "k/kustomization.yaml"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for typed, want := range map[string]string{
		"?.yaml": "a.yaml b.yaml", "c,d.yaml": "c,d.yaml", "a.yaml,DIR/b.yaml": "a.yaml b.yaml",
		"x*.yaml": "does not exist", "a.yaml,x": "x\" does not exist", "[": "does not exist",
		"k": "kustomize build DIR/k/ | stave apply -f -", "k/kustomization.yaml": "kustomize build DIR/k/ |",
	} {
		got, err := files{}.expand(filepath.Join(dir, strings.ReplaceAll(typed, "DIR", dir)))
		for i := range got {
			got[i] = filepath.Base(got[i])
		}
		want = strings.ReplaceAll(want, "DIR", dir)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %v, %v", typed, got, err)
		}
	}
}
