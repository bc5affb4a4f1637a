package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/stave-run/stave/gateway/wire"
)

// completionCmd is `stave completion`.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help implements kong's detailed help.
func (completionCmd) Help() string {
	return `Examples:
  source <(stave completion bash)
  stave completion zsh > "${fpath[1]}/_stave"
  stave completion fish > ~/.config/fish/completions/stave.fish`
}

// The scripts ask stave itself what may follow: the names are the cluster's.
var completionScripts = map[string]string{
	"bash": `# bash completion for stave
_stave() {
	local IFS=$'\n'
	COMPREPLY=($(stave __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
	[[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -o default -F _stave stave
`,
	"fish": `# fish completion for stave
function __stave_complete
	set -l words (commandline -opc) (commandline -ct)
	stave __complete -- $words[2..-1] 2>/dev/null
end
complete -c stave -f -a '(__stave_complete)'
complete -c stave -n 'string match -qr -- "^(-f|--filename)$" (commandline -opc)[-1]' -F
`,
	"zsh": `#compdef stave
_stave() {
	local -a found
	found=("${(@f)$(stave __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n ${found[1]} ]]; then compadd -a found; else _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _stave "$@"; else compdef _stave stave; fi
`,
}

// Run prints the script.
func (c *completionCmd) Run(s *session) error {
	_, err := fmt.Fprint(s.out, completionScripts[c.Shell])
	return err
}

// completeCmd is what the scripts ask.
type completeCmd struct {
	Words []string `arg:"" optional:"" help:"The line so far; the last word may be half of one."`
}

// Run prints a line for every word that may stand in the last one's place.
func (c *completeCmd) Run(ctx context.Context, s *session) error {
	words := afterDashes(c.Words)
	if len(words) == 0 {
		words = []string{""}
	}
	l := partial{node: newParser(&cli{}, s.terminal).Model.Node, last: words[len(words)-1]}
	for _, w := range words[:len(words)-1] {
		l.take(s, w)
	}
	found, err := l.candidates(ctx, s)
	if err != nil {
		return err
	}
	for _, w := range found {
		if strings.HasPrefix(w, l.last) {
			fmt.Fprintln(s.out, w)
		}
	}
	return nil
}

// partial is a command line whose last word is being typed.
type partial struct {
	node *kong.Node
	flag *kong.Flag // whose value comes next
	args []string
	last string
}

// take takes a whole word.
func (l *partial) take(s *session, w string) {
	if l.flag != nil {
		switch l.flag.Name {
		case "namespace":
			s.Namespace = w
		case "context":
			s.Context = w
		case "kubeconfig":
			s.Kubeconfig = w
		}
		l.flag = nil
		return
	}
	if strings.HasPrefix(w, "-") {
		l.flag = l.valued(w)
		return
	}
	for _, n := range l.node.Children {
		if n.Name == w || slices.Contains(n.Aliases, w) {
			l.node = n
			return
		}
	}
	l.args = append(l.args, w)
}

// valued is the flag of a word if its value is the next one.
func (l *partial) valued(w string) *kong.Flag {
	for _, f := range l.flags() {
		if (w == "--"+f.Name || f.Short != 0 && w == "-"+string(f.Short)) && !f.IsBool() {
			return f
		}
	}
	return nil
}

func (l *partial) flags() []*kong.Flag { return slices.Concat(l.node.AllFlags(true)...) }

// ofPods are the verbs whose bare names are pods.
var ofPods = []string{"logs", "exec", "attach", "port-forward"}

// candidates are the words that may follow.
func (l *partial) candidates(ctx context.Context, s *session) ([]string, error) {
	switch typ, _, slash := strings.Cut(l.last, "/"); {
	case l.flag != nil:
		return l.values(ctx, s)
	case strings.HasPrefix(l.last, "-"):
		var out []string
		for _, f := range l.flags() {
			out = append(out, "--"+f.Name)
		}
		return out, nil
	case !l.node.Leaf():
		var out []string
		for _, n := range l.node.Children {
			if !n.Hidden {
				out = append(out, n.Name)
			}
		}
		return out, nil
	case strings.HasSuffix(l.node.Name, "-context"):
		f, err := s.configFiles()
		return f.names(), err
	case slash:
		return s.namesOf(ctx, typ, typ+"/")
	case slices.Contains(ofPods, l.node.Name) && len(l.args) == 0:
		return s.namesOf(ctx, "pods", "")
	case len(l.args) == 0 && takesTypes(l.node):
		return knownTypes(), nil
	case len(l.args) > 0 && !strings.Contains(l.args[0], "/"):
		return s.namesOf(ctx, l.args[0], "")
	}
	return nil, nil
}

// values are those of the flag before the last word.
func (l *partial) values(ctx context.Context, s *session) ([]string, error) {
	switch l.flag.Name {
	case "namespace":
		return s.namesOf(ctx, "namespaces", "")
	case "context":
		f, err := s.configFiles()
		return f.names(), err
	case "output":
		return []string{"wide", "yaml", "json", "name"}, nil
	}
	return nil, nil
}

func takesTypes(n *kong.Node) bool {
	return len(n.Positional) > 0 && strings.Contains(n.Positional[0].Help, "TYPE") ||
		len(n.Positional) > 0 && strings.Contains(n.Positional[0].Help, "deployment")
}

// namesOf are the names of a type's objects, each behind a prefix.
func (s *session) namesOf(ctx context.Context, typ, prefix string) ([]string, error) {
	kind, err := kindNamed(typ)
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	reply, err := s.read(ctx, wire.ReadRequest{Resource: kind.Resource, Namespace: s.key(kind, "").Namespace})
	if err != nil {
		return nil, err
	}
	objects, err := decodeAll(reply.Objects)
	out := make([]string, 0, len(objects))
	for _, o := range objects {
		out = append(out, prefix+o.GetName())
	}
	return out, err
}
