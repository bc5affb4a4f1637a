package manifest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// yamlReader turns one YAML document into a node. Aliases are copied out, within
// a bound, so that nothing downstream has to know them.
type yamlReader struct {
	p       *problems
	line    int // lines of the file before the document
	anchors map[string]*node
	open    map[string]bool // anchors whose value is being read
	nodes   int             // made so far, copies of aliases included
	full    bool            // MaxNodes was reached, and that was said
}

// readYAML parses one document that begins after so many lines of its file.
// It returns nil when there is nothing in it, or nothing usable.
func readYAML(p *problems, src string, line int) *node {
	r := yamlReader{p: p, line: line, anchors: map[string]*node{}, open: map[string]bool{}}
	if line, what := tooMuch(src); what != "" {
		p.add(position{r.line + line, 1}, "", "split it, or write it as JSON", "%s", what)
		return nil
	}
	file, err := parser.ParseBytes([]byte(holdTabs(src)), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(src, err)
		return nil
	}
	before := len(p.all)
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		n := r.node(d.Body, 0)
		if len(p.all) > before || n == nil || n.kind == null {
			return nil
		}
		return n
	}
	return nil
}

// syntax reports what the parser could not read. A tab in the indentation is
// looked for first: it is the usual reason and never what the parser names.
func (r *yamlReader) syntax(src string, err error) {
	for i, l := range strings.Split(src, "\n") {
		indent := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if c := strings.IndexByte(indent, '\t'); c >= 0 && strings.TrimSpace(l) != "" {
			r.p.add(position{r.line + i + 1, c + 1}, "", "indent with spaces", "a tab in the indentation")
			return
		}
	}
	at, what := position{r.line + 1, 1}, err.Error()
	var y yaml.Error
	if errors.As(err, &y) {
		what = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			at = position{r.line + t.Position.Line, t.Position.Column}
		}
	}
	r.p.add(at, "", "look at the indentation and the colons of this line and the one above", "not YAML: %s", what)
}

func (r *yamlReader) place(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{r.line + 1, 1}
	}
	return position{r.line + t.Position.Line, t.Position.Column}
}

func (r *yamlReader) count(at position, n int) bool {
	if r.nodes += n; r.nodes <= MaxNodes {
		return true
	}
	if !r.full {
		r.full = true
		r.p.add(at, "", "write it without aliases or split it", "more than %d values after aliases are copied out", MaxNodes)
	}
	return false
}

func (r *yamlReader) node(n ast.Node, depth int) *node {
	at := r.place(n.GetToken())
	if depth > MaxDepth {
		r.p.add(at, "", "", "nested deeper than %d levels", MaxDepth)
		return &node{at: at}
	}
	if !r.count(at, 1) {
		return &node{at: at}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(at, n.Values, depth)
	case *ast.MappingValueNode:
		return r.mapping(at, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out := &node{kind: sequence, at: at}
		for _, v := range n.Values {
			out.items = append(out.items, r.node(v, depth+1))
		}
		if len(out.items) > 0 && !n.IsFlowStyle {
			out.at = out.items[0].at
		}
		return out
	case *ast.AnchorNode:
		return r.anchor(n, depth)
	case *ast.AliasNode:
		return r.alias(n, depth)
	case *ast.TagNode:
		return r.tag(n, depth)
	}
	return r.scalar(n, at)
}

func (r *yamlReader) scalar(n ast.Node, at position) *node {
	switch n := n.(type) {
	case *ast.StringNode:
		return &node{kind: text, at: at, text: tabbed(n.Value)}
	case *ast.LiteralNode:
		return &node{kind: text, at: at, text: tabbed(n.Value.Value)}
	case *ast.BoolNode:
		return &node{kind: boolean, at: at, text: fmt.Sprint(n.Value)}
	case *ast.IntegerNode:
		return &node{kind: number, at: at, text: fmt.Sprint(n.Value)}
	case *ast.FloatNode:
		return &node{kind: number, at: at, text: jsonFloat(n.Value)}
	case *ast.NullNode:
		return &node{kind: null, at: at}
	}
	r.p.add(at, "", "", "%s has no place in a manifest", strings.ToLower(n.Type().String()))
	return &node{at: at}
}

func (r *yamlReader) mapping(at position, values []*ast.MappingValueNode, depth int) *node {
	out := &node{kind: mapping, at: at}
	for i, v := range values {
		where := r.place(v.Key.GetToken())
		if i == 0 {
			out.at = where
		}
		if v.Key.IsMergeKey() {
			r.merge(out, where, r.node(v.Value, depth+1))
			continue
		}
		out.fields = append(out.fields, entry{key: r.key(v.Key), at: where, value: r.node(v.Value, depth+1)})
	}
	out.dedupe()
	return out
}

// key is a map's key as JSON knows it: always a string, so 8080: is "8080".
func (r *yamlReader) key(k ast.MapKeyNode) string {
	switch k := k.(type) {
	case *ast.StringNode:
		return tabbed(k.Value)
	case *ast.MappingKeyNode:
		if s, ok := k.Value.(ast.MapKeyNode); ok {
			return r.key(s)
		}
	case *ast.AnchorNode:
		if s, ok := k.Value.(ast.MapKeyNode); ok {
			return r.key(s)
		}
	case ast.ScalarNode:
		if t := k.GetToken(); t != nil {
			return t.Value
		}
	}
	r.p.add(r.place(k.GetToken()), "", "write a plain word", "a key that is not a string")
	return ""
}

// merge is YAML's `<<`: the fields of another map that are not written here.
func (r *yamlReader) merge(into *node, at position, from *node) {
	if from.kind == sequence {
		for _, f := range from.items {
			r.merge(into, at, f)
		}
		return
	}
	if from.kind != mapping {
		r.p.add(at, "", "merge a map", "<< merges maps, this is %s", kindWords[from.kind])
		return
	}
	for _, e := range from.fields {
		if _, written := into.find(e.key); !written {
			into.fields = append(into.fields, e)
		}
	}
}

func (r *yamlReader) anchor(n *ast.AnchorNode, depth int) *node {
	name := n.Name.GetToken().Value
	if n.Value == nil {
		return &node{at: r.place(n.GetToken())}
	}
	r.open[name] = true
	v := r.node(n.Value, depth+1)
	delete(r.open, name)
	r.anchors[name] = v
	return v
}

func (r *yamlReader) alias(n *ast.AliasNode, depth int) *node {
	name, at := n.Value.GetToken().Value, r.place(n.GetToken())
	v, ok := r.anchors[name]
	switch {
	case r.open[name]:
		r.p.add(at, "", "write the value out", "alias *%s is inside of its own anchor", name)
	case !ok:
		r.p.add(at, "", "define it before its use: &"+name, "alias *%s names no anchor", name)
	case r.full:
	default:
		size, height := v.measure()
		if depth+height > MaxDepth {
			r.p.add(at, "", "", "nested deeper than %d levels after alias *%s", MaxDepth, name)
		} else if r.count(at, size) {
			return v
		}
	}
	return &node{at: at}
}

// measure is how many values a node holds and how deep. It costs no more than
// what was counted when the node was made.
func (n *node) measure() (size, height int) {
	size = 1
	each := func(v *node) {
		s, h := v.measure()
		size, height = size+s, max(height, h+1)
	}
	for _, v := range n.items {
		each(v)
	}
	for _, e := range n.fields {
		each(e.value)
	}
	return size, height
}

func (r *yamlReader) tag(n *ast.TagNode, depth int) *node {
	at := r.place(n.GetToken())
	if n.Value == nil {
		return &node{at: at}
	}
	v := r.node(n.Value, depth+1)
	switch n.Start.Value {
	case "!!str":
		if t := n.Value.GetToken(); v.kind == number || v.kind == boolean {
			return &node{kind: text, at: v.at, text: t.Value}
		}
	case "!!int", "!!float", "!!bool", "!!map", "!!seq", "!!null":
	default:
		r.p.add(at, "", "leave the tag out", "tag %s is not known here", n.Start.Value)
	}
	return v
}
