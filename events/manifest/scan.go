package manifest

import (
	"fmt"
	"strings"
)

// The parser's cost grows with the square of what these bound; at the bounds it
// takes a fraction of a second.
const (
	maxKeys = 10_000 // lines of one block at the same indentation, flow values at one place
	maxFlow = 500    // brackets open at once
)

// document is one of the documents of a YAML file.
type document struct {
	text string
	line int // lines before it
}

// splitYAML cuts a file at its `---` and `...` lines, as kubectl does, so that
// one document's mistakes leave the others readable.
func splitYAML(src string) []document {
	var out []document
	start, line, first := 0, 0, 0
	for at := 0; at < len(src); line++ {
		next := len(src)
		if i := strings.IndexByte(src[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		if l := strings.TrimRight(src[at:next], "\r\n"); separator(l) {
			out = append(out, document{src[start:at], first})
			start, first = at, line
			if rest := strings.TrimSpace(l[3:]); rest == "" || rest[0] == '#' {
				start, first = next, line+1
			}
		}
		at = next
	}
	return append(out, document{src[start:], first})
}

func separator(line string) bool {
	if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "...") {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t'
}

// scanner looks at the lines of a document, without understanding more of YAML
// than where block scalars are, to refuse what the parser would take minutes for.
type scanner struct {
	keys   []int // lines seen at each indentation of the open blocks, as pairs indentation, count
	scalar int   // indentation of the key whose block scalar is open; -1 without one
	open   int   // brackets
	flow   int   // commas since the outermost bracket
}

// tooMuch says what there is too much of in a document, and in which of its
// lines (from 1); "" when all is well.
func tooMuch(src string) (line int, what string) {
	s := scanner{scalar: -1}
	for l := range strings.Lines(src) {
		line++
		if what := s.line(strings.TrimRight(l, " \t\r\n")); what != "" {
			return line, what
		}
	}
	return 0, ""
}

func (s *scanner) line(l string) string {
	rest := strings.TrimLeft(l, " ")
	indent := len(l) - len(rest)
	if rest == "" || rest[0] == '#' {
		return ""
	}
	if s.scalar >= 0 {
		if indent > s.scalar {
			return ""
		}
		s.scalar = -1
	}
	if what := s.brackets(rest); what != "" {
		return what
	}
	dashes := 0
	for strings.HasPrefix(rest, "- ") {
		body := strings.TrimLeft(rest[2:], " ")
		indent += len(rest) - len(body)
		rest = body
		if dashes++; dashes > MaxDepth {
			return fmt.Sprintf("nested deeper than %d levels", MaxDepth)
		}
	}
	if opensScalar(rest) {
		s.scalar = len(l) - len(strings.TrimLeft(l, " "))
	}
	if n := s.at(indent, dashes > 0); n > maxKeys {
		return fmt.Sprintf("more than %d keys in one map", maxKeys)
	}
	return ""
}

// at counts a line at an indentation; what is deeper has ended, and so has the
// map at this indentation when a dash begins a new one.
func (s *scanner) at(indent int, fresh bool) int {
	for n := len(s.keys); n >= 2 && (s.keys[n-2] > indent || fresh && s.keys[n-2] == indent); n = len(s.keys) {
		s.keys = s.keys[:n-2]
	}
	n := len(s.keys)
	if n == 0 || s.keys[n-2] < indent {
		s.keys = append(s.keys, indent, 0)
		n += 2
	}
	s.keys[n-1]++
	return s.keys[n-1]
}

func (s *scanner) brackets(l string) string {
	for i := 0; i < len(l); i++ {
		switch l[i] {
		case '[', '{':
			s.open++
		case ']', '}':
			if s.open = max(0, s.open-1); s.open == 0 {
				s.flow = 0
			}
		case ',':
			if s.open > 0 {
				s.flow++
			}
		}
		if s.open > maxFlow {
			return fmt.Sprintf("more than %d brackets open at once", maxFlow)
		}
		if s.flow > maxKeys {
			return fmt.Sprintf("more than %d values between brackets", maxKeys)
		}
	}
	return ""
}

// opensScalar tells whether a line ends in | or > with their indicators.
func opensScalar(l string) bool {
	if i := strings.Index(l, " #"); i >= 0 {
		l = strings.TrimRight(l[:i], " ")
	}
	l = strings.TrimRight(l, "+-0123456789")
	if l == "" || l[len(l)-1] != '|' && l[len(l)-1] != '>' {
		return false
	}
	before := l[:len(l)-1]
	return before == "" || strings.HasSuffix(before, " ")
}
