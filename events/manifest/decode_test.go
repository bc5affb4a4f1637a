package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// read is a seed, as its document prints it.
func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/seeds", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// one decodes a manifest that has to be good and alone.
func one(t *testing.T, src string) Doc {
	t.Helper()
	docs, problems := Decode("test.yaml", []byte(src))
	for _, p := range problems {
		t.Errorf("unexpected problem: %v", p)
	}
	if len(docs) != 1 {
		t.Fatalf("want 1 document, have %d", len(docs))
	}
	return docs[0]
}

func TestSeedsDecode(t *testing.T) {
	for name, want := range map[string]string{
		"01-mypod.yaml":                        "Pod mypod",
		"02-mypod-orange.yaml":                 "Pod mypod orange",
		"03-np-svc.yaml":                       "Service np-svc",
		"06-nginx-deployment-status.yaml":      "Deployment nginx",
		"06-nginx-deployment-as-returned.yaml": "Deployment nginx default",
		"07-nginx-pod.yaml":                    "Pod nginx-pod",
		"08-nginx-deployment.yaml":             "Deployment nginx-deployment",
		"09-nginx-service.yaml":                "Service nginx-service",
	} {
		d := one(t, string(read(t, name)))
		have := strings.TrimSpace(d.Kind.Name + " " + d.Object.GetName() + " " + d.Object.GetNamespace())
		if have != want {
			t.Errorf("%s: have %q, want %q", name, have, want)
		}
		again := one(t, string(d.JSON()))
		if again.Object.GetName() != d.Object.GetName() || !slices.Equal(again.JSON(), d.JSON()) {
			t.Errorf("%s: its JSON reads back as %s", name, again.JSON())
		}
	}
}

// The service as its document prints it, all indentation lost: every line that
// stands wrong is named with what to do.
func TestLostIndentation(t *testing.T) {
	docs, problems := Decode("svc.yaml", read(t, "03-np-svc-as-printed.bad.yaml"))
	if len(docs) != 0 {
		t.Errorf("a broken document was returned")
	}
	want := []string{
		"svc.yaml:4:1: name: no such field at the top level (indent it under metadata:)",
		"svc.yaml:6:1: selector: no such field at the top level (indent it under spec:)",
		"svc.yaml:7:1: app: no such field at the top level (indent it under selector:)",
		"svc.yaml:8:1: ports: no such field at the top level (indent it under spec:)",
		"svc.yaml:14:1: type: no such field at the top level (indent it under spec:)",
	}
	checkProblems(t, problems, want)
}

func checkProblems(t *testing.T, problems []*Problem, want []string) {
	t.Helper()
	var have []string
	for _, p := range problems {
		have = append(have, p.Error())
	}
	if !slices.Equal(have, want) {
		t.Errorf("have\n  %s\nwant\n  %s", strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}

const podHead = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n"

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"unknown field with a near one", podHead + "spec:\n  container:\n  - name: a\n",
			[]string{"f:6:3: spec.container: no such field in spec (did you mean containers?)"}},
		{"wrong case", podHead + "spec:\n  Containers: []\n",
			[]string{"f:6:3: spec.Containers: no such field in spec (did you mean containers?)"}},
		{"unknown field deep in a list", podHead + "spec:\n  containers:\n  - name: a\n    image: b\n    ports:\n    - containerport: 80\n",
			[]string{"f:10:7: spec.containers[0].ports[0].containerport: no such field in spec.containers[0].ports[0] (did you mean containerPort?)"}},
		{"a field one level too high", podHead + "spec:\n  image: nginx\n",
			[]string{"f:6:3: spec.image: no such field in spec (it belongs into volumes:)"}},
		{"nothing like it", podHead + "spec:\n  zzzzzzzz: 1\n", []string{"f:6:3: spec.zzzzzzzz: no such field in spec"}},
		{"a string for a number", podHead + "spec:\n  containers:\n  - name: a\n    ports:\n    - containerPort: \"80\"\n",
			[]string{`f:9:22: spec.containers[0].ports[0].containerPort: wants a number, this is the string "80" (write 80 without quotes)`}},
		{"a number for a string", podHead + "spec:\n  containers:\n  - name: a\n    env:\n    - name: A\n      value: 80\n",
			[]string{`f:10:14: spec.containers[0].env[0].value: wants a string, this is the number 80 (write it in quotes: "80")`}},
		{"yes for a boolean", podHead + "spec:\n  hostNetwork: yes\n",
			[]string{`f:6:16: spec.hostNetwork: wants true or false, this is the string "yes" (write true)`}},
		{"off for a boolean", podHead + "spec:\n  hostNetwork: off\n",
			[]string{`f:6:16: spec.hostNetwork: wants true or false, this is the string "off" (write false)`}},
		{"a map for a list", podHead + "spec:\n  containers:\n    name: a\n",
			[]string{"f:7:5: spec.containers: wants a list, this is a map (begin each element with a dash: - )"}},
		{"a list for a map", podHead + "spec:\n- a\n", []string{"f:6:3: spec: wants a map, this is a list (leave the dash out)"}},
		{"an empty element", podHead + "spec:\n  containers:\n  -\n",
			[]string{"f:7:5: spec.containers[0]: an empty element (remove the dash or write the element)"}},
		{"a number too large", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 3000000000\n",
			[]string{"f:5:13: spec.replicas: wants a whole number of 32 bits, this is 3000000000"}},
		{"a fraction", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 1.5\n",
			[]string{"f:5:13: spec.replicas: wants a whole number of 32 bits, this is 1.5"}},
		{"a bad quantity", podHead + "spec:\n  containers:\n  - name: a\n    resources: {limits: {cpu: lots}}\n",
			[]string{`f:8:31: spec.containers[0].resources.limits.cpu: wants a quantity like 100m, 0.5, 64Mi or 1Gi, this is the string "lots"`}},
		{"bad base64", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nbinaryData:\n  k: '***'\n",
			[]string{"f:5:6: binaryData.k: not base64: illegal base64 data at input byte 0 (encode it with base64)"}},
		{"a key twice", podHead + "spec:\n  hostname: a\n  hostname: b\n",
			[]string{"f:7:3: spec.hostname: written twice, first at line 6 (keep one of them)"}},
		{"a label twice", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels:\n    a.b/c: x\n    a.b/c: y\n",
			[]string{"f:7:5: metadata.labels[a.b/c]: written twice, first at line 6 (keep one of them)"}},
		{"no name", "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {a: b}\n",
			[]string{"f:3:1: metadata.name: missing: a Pod has a name (add name: below metadata:)"}},
		{"no metadata", "apiVersion: v1\nkind: Pod\n",
			[]string{"f:1:1: metadata.name: missing: a Pod has a name (add name: below metadata:)"}},
		{"no apiVersion", "kind: Deployment\nmetadata: {name: a}\n",
			[]string{"f:1:1: apiVersion: missing (add apiVersion: apps/v1)"}},
		{"no kind", "apiVersion: v1\nmetadata: {name: a}\n",
			[]string{"f:1:1: kind: missing (add kind:, one of those that 'stave api-resources' lists)"}},
		{"neither", "metadata: {name: a}\n", []string{
			"f:1:1: apiVersion: missing (add apiVersion: v1, or the kind's own)",
			"f:1:1: kind: missing (add kind:, one of those that 'stave api-resources' lists)"}},
		{"an apiVersion that is a number", "apiVersion: 1\nkind: Pod\n",
			[]string{"f:1:13: apiVersion: wants a string, this is a number"}},
		{"the wrong apiVersion", "apiVersion: v1\nkind: Deployment\nmetadata: {name: a}\n",
			[]string{"f:1:13: apiVersion: no Deployment in v1 (write apiVersion: apps/v1)"}},
		{"a kind misspelled", "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: a}\n",
			[]string{`f:2:7: kind: no kind "Deploymnet" in version "apps/v1" here (did you mean Deployment?)`}},
		{"a kind beside the log", "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: a}\n",
			[]string{"f:2:7: kind: each Lease of coordination.k8s.io/v1 is kept beside the log, where stave does not write (kubectl writes it, through the Kubernetes API)"}},
		{"a kind of somebody else", "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: a}\n",
			[]string{`f:2:7: kind: no kind "Certificate" in version "cert-manager.io/v1" here ('stave api-resources' lists the kinds)`}},
		{"another's kind of that name", "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n",
			[]string{`f:2:7: kind: no kind "Service" in version "serving.knative.dev/v1" here ('stave api-resources' lists the kinds)`}},
		{"a tab", "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: p\n", []string{"f:4:1: a tab in the indentation (indent with spaces)"}},
		{"bad indentation", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n   labels: {}\n",
			[]string{"f:4:9: not YAML: mapping value is not allowed in this context (look at the indentation and the colons of this line and the one above)"}},
		{"a scalar document", "hello\n", []string{"f:1:1: a manifest is a map, this is a string (begin with apiVersion: and kind:)"}},
		{"a tag", podHead + "spec:\n  hostname: !custom a\n", []string{"f:6:13: tag !custom is not known here (leave the tag out)"}},
		{"an alias without an anchor", podHead + "spec:\n  hostname: *a\n",
			[]string{"f:6:13: alias *a names no anchor (define it before its use: &a)"}},
		{"an alias inside of itself", podHead + "spec: &s\n  hostname: *s\n",
			[]string{"f:6:13: alias *s is inside of its own anchor (write the value out)"}},
		{"every document's problems", podHead + "spec:\n  hostnam: a\n---\n" + podHead + "spec:\n  hostname: 3\n", []string{
			"f:6:3: spec.hostnam: no such field in spec (did you mean hostname?)",
			`f:13:13: spec.hostname: wants a string, this is the number 3 (write it in quotes: "3")`}},
		{"not UTF-8", "a: b\nc: \xff\n", []string{"f:2:4: not UTF-8 (save the file as UTF-8)"}},
		{"JSON cut off", `{"apiVersion": "v1", "kind": "Pod", `, []string{"f:1:36: not JSON: it ends too early (close every bracket and quote)"}},
		{"JSON with a trailing comma", "{\"apiVersion\": \"v1\",\n}", []string{"f:2:1: not JSON: invalid character '}' looking for beginning of object key string"}},
		{"JSON with an unknown field", "{\"apiVersion\": \"v1\",\n \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"},\n \"spek\": {}}",
			[]string{"f:3:2: spek: no such field at the top level (did you mean spec?)"}},
		{"JSON with a key twice", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "name": "b"}}`,
			[]string{"f:1:63: metadata.name: written twice, first at line 1 (keep one of them)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs, problems := Decode("f", []byte(c.src))
			if len(docs) != 0 {
				t.Errorf("%d documents came through", len(docs))
			}
			checkProblems(t, problems, c.want)
		})
	}
}

func TestManyDocuments(t *testing.T) {
	src := "# a comment\n---\n" + podHead + "---\n---\n# nothing\n--- # the second\n" + podHead + "...\n" + podHead
	docs, problems := Decode("f", []byte(src))
	checkProblems(t, problems, nil)
	var lines []int
	for _, d := range docs {
		line, _ := d.Position("metadata.name")
		lines = append(lines, line)
	}
	if want := []int{6, 14, 19}; !slices.Equal(lines, want) {
		t.Errorf("names at lines %v, want %v", lines, want)
	}
}

// A good document beside a broken one is returned: the caller decides.
func TestGoodBesideBad(t *testing.T) {
	docs, problems := Decode("f", []byte(podHead+"---\nkind: ]\n---\n"+podHead))
	if len(docs) != 2 || len(problems) != 1 || problems[0].Line != 6 {
		t.Errorf("%d documents, problems %v", len(docs), problems)
	}
}

func TestLists(t *testing.T) {
	yaml := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n  spec: {hostnme: x}\n"
	docs, problems := Decode("f", []byte(yaml))
	if len(docs) != 1 || docs[0].Object.GetName() != "a" {
		t.Errorf("documents %v", docs)
	}
	checkProblems(t, problems, []string{"f:10:10: spec.hostnme: no such field in spec (did you mean hostname?)"})

	json := `{"kind":"PodList","apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}]}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"quote \" and \\":"x"}}`
	docs, _ = Decode("f", []byte(json))
	if len(docs) != 2 || docs[0].Kind.Name != "Pod" || docs[1].Where("data") != "f:2:63" {
		t.Errorf("documents %v", docs)
	}
}

func TestPositions(t *testing.T) {
	d := one(t, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels:\n    app.kubernetes.io/name: x\nspec:\n  containers:\n  - name: a\n    image: b\n  - name: c\n")
	for field, want := range map[string]string{
		"": "1:1", "metadata.name": "4:3", "metadata.labels[app.kubernetes.io/name]": "6:5",
		"spec.containers[1].name": "11:5", "spec.containers[1].image": "11:5", "spec.containers[7].image": "8:3",
		"spec.restartPolicy": "7:1", "status.x": "1:1",
	} {
		line, column := d.Position(field)
		if have := fmt.Sprintf("%d:%d", line, column); have != want {
			t.Errorf("%q stands at %s, want %s", field, have, want)
		}
	}
	if have := d.Where("metadata.name"); have != "test.yaml:4:3" {
		t.Errorf("where: %s", have)
	}
}

func TestScalarsAndAnchors(t *testing.T) {
	d := one(t, `apiVersion: v1
kind: ConfigMap
metadata: {name: c, labels: &l {a: b}, annotations: *l}
data:
  8080: port
  text: |
    {{ not: [yaml
    	with a tab
  folded: >-
    two
    lines
  tagged: !!str 12
  quoted: "a\tb"
  <<: {merged: in, text: ignored}
`)
	want := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","labels":{"a":"b"},"annotations":{"a":"b"}},` +
		`"data":{"8080":"port","text":"{{ not: [yaml\n\twith a tab\n","folded":"two lines","tagged":"12","quoted":"a\tb","merged":"in"}}`
	if have := string(d.JSON()); have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
	mode := one(t, podHead+"spec:\n  volumes:\n  - name: v\n    configMap: {name: c, defaultMode: 0644}\n")
	if !strings.Contains(string(mode.JSON()), `"defaultMode":420`) {
		t.Errorf("0644 is octal: %s", mode.JSON())
	}
}

// What costs more than its size elsewhere is refused here, and soon.
func TestBounds(t *testing.T) {
	laugh := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		laugh += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	var keys strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&keys, "k%d: v\n", i)
	}
	chain := "a0: &a0 [x]\n"
	for i := 1; i < 200; i++ {
		chain += fmt.Sprintf("a%d: &a%d [*a%d]\n", i, i, i-1)
	}
	for name, src := range map[string]string{
		"billion laughs": laugh, "brackets": strings.Repeat("[", 1_000_000), "braces": strings.Repeat("{a: ", 500_000),
		"dashes": strings.Repeat("- ", 1_000_000), "keys": keys.String(), "flow": "a: {" + strings.Repeat("a: b, ", 200_000) + "}",
		"chain of aliases": chain, "JSON brackets": `{"a":` + strings.Repeat("[", 1_000_000), "a long line": "a: " + strings.Repeat("x", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			docs, problems := Decode("f", []byte(src))
			if len(docs) != 0 || len(problems) == 0 {
				t.Errorf("%d documents, %d problems", len(docs), len(problems))
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if len(problems) > MaxProblems+1 {
				t.Errorf("%d problems", len(problems))
			}
		})
	}
}

func TestLargeFilesAreRead(t *testing.T) {
	docs, problems := Decode("f", []byte(strings.Repeat("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: b\n---\n", 10_000)))
	if len(docs) != 10_000 || len(problems) != 0 {
		t.Errorf("%d documents, problems %v", len(docs), problems)
	}
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: |\n" + strings.Repeat("    a line of a long text {[\n", 110_000)
	docs, problems = Decode("f", []byte(text))
	if len(docs) != 1 || len(problems) != 0 {
		t.Errorf("3 MB of text: %d documents, problems %v", len(docs), problems)
	}
}

func FuzzDecode(f *testing.F) {
	seeds, err := filepath.Glob("testdata/seeds/*.yaml")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, s := range seeds {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"{}", "[", "a: &a [*a]", "? x\n: y", "<<: *a", "- - -", "%YAML 1.2\n---\na: b", "\uFEFFa: b", `{"a":"\ud800"}`, "a: !!binary x", "&a : b", "? [a]\n: b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		docs, problems := Decode("f", data)
		for _, p := range problems {
			if p.Reason == "" || p.Line < 0 || p.Column < 0 {
				t.Errorf("problem %+v", p)
			}
		}
		for _, d := range docs {
			// What was read reads back as the same.
			again, bad := Decode("f", d.JSON())
			if len(bad) != 0 || len(again) != 1 || string(again[0].JSON()) != string(d.JSON()) {
				t.Errorf("%s reads back as %v, %v", d.JSON(), again, bad)
			}
		}
	})
}
