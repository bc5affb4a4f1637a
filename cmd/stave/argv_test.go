package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// parsed is a command line read into the structs, as command does it.
func parsed(t *testing.T, argv ...string) (*cli, error) {
	t.Helper()
	var c cli
	term := &terminal{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}, width: 80}
	parser := newParser(&c, term, kong.Exit(func(int) {}), kong.BindTo(context.Background(), (*context.Context)(nil)), kong.Bind(term))
	line, err := normalise(parser.Model, argv)
	if err != nil {
		return &c, err
	}
	_, err = parser.Parse(line)
	return &c, err
}

func TestNormalise(t *testing.T) {
	var c cli
	model := newParser(&c, &terminal{out: &bytes.Buffer{}, err: &bytes.Buffer{}}).Model
	for _, c := range []struct{ line, want string }{
		{"get pods -o=yaml", "get --output=yaml pods"},
		{"get pods -oyaml -n=x", "get --output=yaml --namespace=x pods"},
		{"get cm -n blue colours -o yaml", "get --namespace=blue --output=yaml cm colours"},
		{"-n x get pods", "get --namespace=x pods"},
		{"-Aowide get pods", "get --all-namespaces --output=wide pods"},
		{"get pods -wA", "get --watch --all-namespaces pods"},
		{"get pods -lapp=web -L=app,tier", "get --selector=app=web --label-columns=app,tier pods"},
		{"apply -f a -f=b -f- --dry-run", "apply --filename=a --filename=b --filename=- --dry-run"},
		{"apply -f - --dry-run=server", "apply --filename=- --dry-run=server"},
		{"logs web --tail -1 -f", "logs --tail=-1 --follow web"},
		{"exec -itc app web -- sh -c x -n y", "exec --stdin --tty --container=app web -- sh -c x -n y"},
		{"exec web -it -- sh", "exec --stdin --tty web -- sh"},
		{"run t --rm -it --image=busybox -- wget -qO- web", "run --rm --stdin --tty --image=busybox t -- wget -qO- web"},
		{"run t -i=false --image busybox sh", "run --stdin=false --image=busybox t sh"},
		{"delete pod x --grace-period 0 --force", "delete --grace-period=0 --force pod x"},
		{"delete --cascade deploy x", "delete --cascade deploy x"},
		{"image import --node n1 -", "image import --node=n1 -"},
		{"get pods -q", "get -q pods"}, // the parser says that there is no -q
	} {
		got, err := normalise(model, strings.Fields(c.line))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s\ngot  %s (%v)\nwant %s", c.line, strings.Join(got, " "), err, c.want)
		}
	}
}

func TestKubectlSpellings(t *testing.T) {
	for line, ok := range map[string]func(c *cli) bool{
		"get -o=yaml pods -n=x": func(c *cli) bool { return c.Get.Output == formatYAML && c.Namespace == "x" },
		"get cm -n blue a b -owide": func(c *cli) bool {
			return reflect.DeepEqual(c.Get.What, []string{"cm", "a", "b"}) && c.Get.Output == formatWide
		},
		"apply -f a,b -f c --dry-run": func(c *cli) bool {
			return reflect.DeepEqual(c.Apply.Filename, []string{"a,b", "c"}) && c.Apply.DryRun == dryRunBare
		},
		"apply -f a --dry-run=none":      func(c *cli) bool { return c.Apply.DryRun == "" },
		"apply --dry-run -f a":           func(c *cli) bool { return c.Apply.DryRun == dryRunBare && len(c.Apply.Filename) == 1 },
		"delete pod a --cascade":         func(c *cli) bool { return c.Delete.Cascade == "background" },
		"delete --cascade=false pod a":   func(c *cli) bool { return c.Delete.Cascade == "orphan" },
		"delete pod a":                   func(c *cli) bool { return c.Delete.Cascade == "background" && c.Delete.Wait },
		"delete pod a --wait=false":      func(c *cli) bool { return !c.Delete.Wait },
		"delete pod a --grace-period=-1": func(c *cli) bool { return *c.Delete.Grace == -1 },
		"exec -it web -- sh -c ls": func(c *cli) bool {
			return reflect.DeepEqual(afterDashes(c.Exec.Command), []string{"sh", "-c", "ls"}) && c.Exec.TTY
		},
		"run t --image=i -it -- sh -c ls": func(c *cli) bool {
			return reflect.DeepEqual(afterDashes(c.Run.Command), []string{"sh", "-c", "ls"}) && c.Run.Name == "t"
		},
		"logs web app --tail=-1 --since=5m": func(c *cli) bool { return c.Logs.Container2 == "app" && c.Logs.Tail != nil && *c.Logs.Tail == -1 },
		"scale deploy web --replicas 0":     func(c *cli) bool { return c.Scale.Replicas == 0 && len(c.Scale.What) == 2 },
	} {
		c, err := parsed(t, strings.Fields(line)...)
		if err != nil || !ok(c) {
			t.Errorf("%s: %v\n%+v", line, err, c)
		}
	}
}

// Every verb has help, and what its help shows can be typed.
func TestExamplesParse(t *testing.T) {
	var c cli
	model := newParser(&c, &terminal{out: &bytes.Buffer{}, err: &bytes.Buffer{}}).Model
	for _, verb := range model.Leaves(true) {
		lines := exampleLines(verb.Detail)
		if len(lines) == 0 || verb.Help == "" {
			t.Errorf("%s: no help with examples", verb.Path())
		}
		own := false
		for _, line := range lines {
			words, err := shellWords(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if _, err := parsed(t, words...); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			own = own || strings.HasPrefix(line+" ", ownPath(verb)+" ")
		}
		if !own {
			t.Errorf("%s: no example of itself: %q", verb.Path(), lines)
		}
	}
}

func ownPath(n *kong.Node) string {
	if n.Parent == nil {
		return ""
	}
	return strings.TrimSpace(ownPath(n.Parent) + " " + n.Name)
}

// exampleLines are the "stave …" commands of a help text.
func exampleLines(help string) []string {
	var out []string
	for _, l := range strings.Split(help, "\n") {
		for _, part := range strings.Split(l, " | ") {
			if _, cmd, ok := strings.Cut(part, "stave "); ok && strings.HasPrefix(l, "  ") {
				cmd, _, _ = strings.Cut(cmd, " > ")
				if strings.Contains(part, "(stave ") { // <(stave …)
					cmd = strings.TrimSuffix(cmd, ")")
				}
				out = append(out, strings.TrimSpace(cmd))
			}
		}
	}
	return out
}

// shellWords splits a line as a shell does, as far as help texts need it.
func shellWords(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	quote, in := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, in = r, true
		case quote == 0 && r == ' ':
			if in {
				out = append(out, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, errors.New("open quote")
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}

// ran is what a command line prints that needs no cluster.
func ran(t *testing.T, argv ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	var o, e bytes.Buffer
	code = command(context.Background(), argv, &terminal{in: strings.NewReader(""), out: &o, err: &e, width: 80})
	return code, o.String(), e.String()
}

func TestMistypedLinesGetAHint(t *testing.T) {
	for line, want := range map[string]string{
		"gte pods":               "did you mean \"get\"?",
		"foo":                    "unknown command \"foo\"",
		"get podz":               "did you mean \"pods\"?",
		"get events":             "stave tail",
		"get":                    "stave api-resources",
		"get --outptu=yaml pods": "did you mean \"--output\"?",
		"get pods -o foo":        "custom-columns",
		"get pods -o jsonpath":   "no template given",
		"get pods -n":            "flag needs an argument: -n",
		"get pods -Ao":           "flag needs an argument: -o",
		"delete pod x -n a -l":   "flag needs an argument: -l",
		"get pods --namespace":   "flag needs an argument: --namespace",
		"apply argv.go":          "did you mean -f argv.go?",
		"apply -k .":             "help: kustomize build DIR | stave apply -f -",
		"apply --server-side":    "help: leave it out: every apply is merged on the server",
		"apply":                  "stave apply -f FILE",
		"get pods":               "stave up",
		"get pods --context x":   "context \"x\" does not exist",
		"run --image=x":          "NAME is required",
		"scale deploy/x":         "--replicas",
		"delete pods":            "stave up",
		"apply -f nowhere.yaml":  "\"nowhere.yaml\" does not exist",
		"exec x":                 "at least one command",
		"wait pod/x --for=foo":   "condition=NAME",
	} {
		code, out, errs := ran(t, strings.Fields(line)...)
		if code != 1 || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%s: exit %d, want 1 and %q\nstdout %s\nstderr %s", line, code, want, out, errs)
		}
	}
}

// kubectl's verbs that are missing say what to do in their place.
func TestMissingVerbsPointElsewhere(t *testing.T) {
	have := verbs()
	for verb, hint := range elsewhere {
		if have[verb] {
			continue
		}
		if code, _, errs := ran(t, append(strings.Fields(verb), "x", "-y")...); code != 1 || !strings.Contains(errs, hint) {
			t.Errorf("%s: exit %d\n%s", verb, code, errs)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, line := range []string{"", "--help", "-h", "help"} {
		code, out, errs := ran(t, strings.Fields(line)...)
		if code != 0 || !strings.Contains(out, "Looking\n  get ") || errs != "" {
			t.Errorf("%q: exit %d\n%s%s", line, code, out, errs)
		}
	}
	for _, line := range []string{"get --help", "get -h", "help get"} {
		if code, out, _ := ran(t, strings.Fields(line)...); code != 0 || !strings.Contains(out, "Examples:") {
			t.Errorf("%q: exit %d\n%s", line, code, out)
		}
	}
}

func TestTypedLine(t *testing.T) {
	if got, want := typedLine([]string{"run", "x", "--", "sh", "-c", "echo 'hi'; exit 3", ""}), `stave run x -- sh -c 'echo '\''hi'\''; exit 3' ''`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A verb alone must parse as it does among all.
func TestGrammarOfOneVerb(t *testing.T) {
	term := &terminal{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	var shape func(n *kong.Node) string
	shape = func(n *kong.Node) string {
		s := n.Name + fmt.Sprint(n.Aliases, n.Help, n.Detail, n.Hidden, n.Group)
		for _, f := range n.Flags {
			s += f.String() + f.Help + f.Default
		}
		for _, p := range n.Positional {
			s += p.Summary()
		}
		for _, c := range n.Children {
			s += "(" + shape(c) + ")"
		}
		return s
	}
	for _, whole := range newParser(&cli{}, term).Model.Children {
		words, flags := grammar([]string{whole.Name})
		model := newParser(words, term).Model
		if len(model.Children) != 1 || shape(model.Children[0]) != shape(whole) {
			t.Errorf("%s alone is not what it is among all verbs", whole.Name)
			continue
		}
		_, _ = newParser(words, term, kong.Exit(func(int) {})).Parse([]string{whole.Name, "--namespace=blue"}) // most want more
		if flags.Namespace != "blue" {
			t.Errorf("%s: the flags of every verb are %+v", whole.Name, *flags)
		}
	}
}
