package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// manCmd is `stave man`.
type manCmd struct {
	Verb []string `arg:"" optional:"" help:"VERB, or VERB and its own verb."`
}

// Help implements kong's detailed help.
func (manCmd) Help() string {
	return `A manual page, made of the same text as --help, for man to show.

Examples:
  stave man why | man -l -
  stave man rollout undo > /usr/local/share/man/man1/stave-rollout-undo.1`
}

// Run prints a page.
func (c *manCmd) Run(s *session) error {
	var all cli
	at := newParser(&all, s.terminal).Model.Node
	for _, word := range c.Verb {
		below := child(at, word)
		if below == nil {
			return fmt.Errorf("there is no verb %q\nhelp: stave --help lists them", strings.Join(c.Verb, " "))
		}
		at = below
	}
	fmt.Fprint(s.out, manPage(at))
	return nil
}

func child(n *kong.Node, word string) *kong.Node {
	for _, c := range n.Children {
		if c.Name == word {
			return c
		}
		for _, a := range c.Aliases {
			if a == word {
				return c
			}
		}
	}
	return nil
}

// manPage is a node's page in man's macros.
func manPage(n *kong.Node) string {
	var b strings.Builder
	name := strings.ReplaceAll(strings.TrimSpace(n.FullPath()), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"stave %s\" \"Stave\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(name), version, name, roff(strings.TrimSuffix(n.Help, ".")))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n%s\n", roff(n.FullPath()), roff(strings.TrimSpace(strings.TrimPrefix("stave "+n.Summary(), n.FullPath()))))
	if n.Detail != "" {
		b.WriteString(".SH DESCRIPTION\n" + manText(n.Detail))
	}
	if len(n.Children) > 0 {
		b.WriteString(".SH VERBS\n")
		for _, c := range n.Children {
			if !c.Hidden {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(c.Name), roff(c.Help))
			}
		}
	}
	b.WriteString(".SH OPTIONS\n")
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			short := ""
			if f.Short != 0 {
				short = fmt.Sprintf("-%c, ", f.Short)
			}
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(short+f.Summary()), roff(f.Help))
		}
	}
	return b.String()
}

// manText is a help text: what is indented stays as it is, and a line like
// "Examples:" begins a section.
func manText(text string) string {
	var b strings.Builder
	asIs := false
	for _, l := range strings.Split(text, "\n") {
		indented := strings.HasPrefix(l, "  ")
		switch {
		case indented && !asIs:
			b.WriteString(".nf\n")
		case !indented && asIs:
			b.WriteString(".fi\n")
		}
		asIs = indented
		if told, ok := strings.CutPrefix(l, "A case: "); ok {
			b.WriteString(".SH A CASE\n" + roff(told) + "\n")
			continue
		}
		switch head, ok := strings.CutSuffix(l, ":"); {
		case ok && !indented && !strings.Contains(head, ",") && len(strings.Fields(head)) < 4:
			fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(roff(head)))
		case l == "":
			b.WriteString(".PP\n")
		default:
			b.WriteString(roff(strings.TrimPrefix(l, "  ")) + "\n")
		}
	}
	if asIs {
		b.WriteString(".fi\n")
	}
	return b.String()
}

// roff escapes what man would take for a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
