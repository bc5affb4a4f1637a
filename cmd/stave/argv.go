package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
)

// normalise makes kubectl's command lines readable for the parser, which knows
// neither "-o=yaml" nor a flag between two arguments ("get cm -n blue x"). Flags
// come out in their long form right behind the command, arguments after them.
// What follows "--" belongs to somebody else and stays as it is.
func normalise(app *kong.Application, argv []string) ([]string, error) {
	l := commandLine{node: app.Node, before: everyFlag(app.Node)}
	for i := 0; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "--":
			l.rest, i = argv[i:], len(argv)
		case strings.HasPrefix(a, "--"):
			i += l.long(a, argv[i+1:])
		case len(a) > 1 && a[0] == '-':
			i += l.short(a, argv[i+1:])
		default:
			if err := l.word(a); err != nil {
				return nil, err
			}
		}
	}
	if l.bare != "" { // the parser would take an argument for its value
		return nil, errors.New("flag needs an argument: " + l.bare)
	}
	return slices.Concat(l.verb, l.flags, l.args, l.rest), nil
}

// commandLine is a command line taken apart.
type commandLine struct {
	node                    *kong.Node // the command so far
	before                  []*kong.Flag
	verb, flags, args, rest []string
	bare                    string // a flag at the end of the line that lacks its value
}

// word takes what is no flag: part of the command as long as there are commands
// to choose from, then an argument.
func (l *commandLine) word(a string) error {
	if l.node.Leaf() {
		l.args = append(l.args, a)
		return nil
	}
	for _, c := range l.node.Children {
		if c.Name == a || slices.Contains(c.Aliases, a) {
			l.node, l.verb = c, append(l.verb, a)
			return nil
		}
	}
	return unknownCommand{node: l.node, typed: a}
}

// long takes a flag such as --tail or --tail=5; it returns how many of the next
// words are its value.
func (l *commandLine) long(a string, next []string) int {
	name, _, has := strings.Cut(a[2:], "=")
	f := l.find(func(f *kong.Flag) bool { return f.Name == name || slices.Contains(f.Aliases, name) })
	switch {
	case f == nil || has || f.IsBool():
		l.flags = append(l.flags, a)
		return 0
	case len(next) == 0:
		l.bare = a
		return 0
	}
	l.flags = append(l.flags, a+"="+next[0]) // so that "-1" is a value, not a flag
	return 1
}

// short takes a bundle of one-letter flags such as -it, -itc app, -o=yaml, -Aowide.
func (l *commandLine) short(a string, next []string) int {
	for i, r := range a {
		if i == 0 {
			continue
		}
		f := l.find(func(f *kong.Flag) bool { return f.Short == r })
		if f == nil {
			l.flags = append(l.flags, "-"+a[i:]) // the parser says what is wrong with it
			return 0
		}
		value := a[i+len(string(r)):]
		switch {
		case strings.HasPrefix(value, "="):
			l.flags = append(l.flags, "--"+f.Name+value)
			return 0
		case f.IsBool():
			l.flags = append(l.flags, "--"+f.Name)
		case value != "":
			l.flags = append(l.flags, "--"+f.Name+"="+value)
			return 0
		case len(next) > 0:
			l.flags = append(l.flags, "--"+f.Name+"="+next[0])
			return 1
		default:
			l.bare = "-" + string(r)
		}
	}
	return 0
}

// find looks for a flag of the command, or, while there is none yet, of any.
func (l *commandLine) find(is func(*kong.Flag) bool) *kong.Flag {
	flags := l.before
	if l.node.Parent != nil {
		flags = slices.Concat(l.node.AllFlags(false)...)
	}
	if i := slices.IndexFunc(flags, is); i >= 0 {
		return flags[i]
	}
	return nil
}

func everyFlag(n *kong.Node) []*kong.Flag {
	out := slices.Clone(n.Flags)
	for _, c := range n.Children {
		out = append(out, everyFlag(c)...)
	}
	return out
}

// unknownCommand is a word where a command should stand.
type unknownCommand struct {
	node  *kong.Node
	typed string
}

// Error implements error: what was typed, and what is nearest to it.
func (e unknownCommand) Error() string {
	below := strings.TrimPrefix(strings.TrimSpace(e.node.FullPath())+" ", "stave ")
	if hint, ok := elsewhere[below+e.typed]; ok {
		return fmt.Sprintf("there is no command %q yet\nhelp: %s", e.typed, hint)
	}
	var names []string
	for _, c := range e.node.Children {
		names = append(append(names, c.Name), c.Aliases...)
	}
	return fmt.Sprintf("unknown command %q for %q%s", e.typed, strings.TrimSpace(e.node.FullPath()), didYouMean(e.typed, names))
}

// elsewhere is what to do in place of kubectl's commands that are not there yet.
var elsewhere = map[string]string{
	"auth can-i": "whoever can read the credential file can do everything",

	"debug":     "stave exec -it POD -- sh",
	"kustomize": "kustomize build DIR | stave apply -f -", "api-versions": "stave api-resources", "options": "stave get --help shows the flags that all verbs take",
	"proxy":              "stave port-forward leads a port to a pod",
	"config set-cluster": "'stave up' writes clusters and users", "config set-credentials": "'stave up' writes clusters and users",
	"config set": "stave config set-context, use-context", "config unset": "stave config delete-context, delete-cluster, delete-user",
	"plugin":       "stave knows no plugins",
	"set selector": `stave patch service NAME -p '{"spec":{"selector":{"app":"web"}}}'`, "set subject": "stave edit rolebinding NAME",
}

// instead is what to do in place of flags of kubectl's that are not there.
var instead = map[string]string{
	"-k": "kustomize build DIR | stave apply -f -", "--kustomize": "kustomize build DIR | stave apply -f -",
	"--server-side":     "leave it out: every apply is merged on the server, whatever its size",
	"--force-conflicts": "leave it out: what is applied last holds, and 'stave blame' tells who set a field",
	"--field-manager":   "leave it out: changes are known by their user, and by -m TEXT",
	"--validate":        "manifests are always read strictly; --dry-run=server tells all that is wrong with them",
	"--record":          "-m TEXT keeps the reason with the change; without it that is the command line",
	"--save-config":     "leave it out: the log knows what was applied last",
	"--force":           "stave replace --force -f FILE",
	"--expose":          "stave expose pod NAME --port=80",
	"--template":        "-o go-template=TEMPLATE",
	"--as":              "kubectl --as=USER; stave knows you by the credential of your context",
}

// didYouMean names the candidate that is typed almost the same, if there is one.
func didYouMean(typed string, candidates []string) string {
	best, least := "", max(1, len(typed)/3)+1
	for _, c := range candidates {
		if d := editDistance(typed, c); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("\nhelp: did you mean %q?", best)
}

// editDistance counts inserted, deleted, changed and swapped letters.
func editDistance(a, b string) int {
	two, one := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one = one, row
	}
	return one[len(b)]
}

// afterDashes strips the "--" that a passthrough argument keeps.
func afterDashes(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

// ownLine is the command line of this process.
var ownLine = sync.OnceValue(func() string { return typedLine(os.Args[1:]) })

// typedLine is the command line as a person would type it again.
func typedLine(argv []string) string {
	out := []string{"stave"}
	for _, a := range discreet(argv) {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$&|;<>()*?[]{}#~`!") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
