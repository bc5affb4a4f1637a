package events

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// plainly is a body that reads itself from JSON of the form in which we write
// it: the fields in their order, no spaces, no escapes. The fold spends a third
// of its time on bodies when reflection reads them. What looks any other way in
// the least is left to encoding/json, so that both always say the same; a
// property test and a fuzz test hold them to it.
type plainly interface{ plain(*plain) }

// readPlainly fills v; when it fails, v may be half filled.
func readPlainly(body []byte, v plainly) bool {
	p := plain{rest: body}
	v.plain(&p)
	return !p.bad && len(p.rest) == 0
}

// plain reads plain JSON. After anything unexpected it is bad, and stays where it is.
type plain struct {
	rest  []byte
	first bool // no comma is due before the next field or element
	bad   bool
}

// mark takes a byte that must come next.
func (p *plain) mark(c byte) {
	if len(p.rest) == 0 || p.rest[0] != c {
		p.bad, p.rest = true, nil
		return
	}
	p.rest = p.rest[1:]
}

func (p *plain) open(c byte)  { p.mark(c); p.first = true }
func (p *plain) close(c byte) { p.mark(c); p.first = false }

// key takes a field's name when it comes next. Asked in the order of the fields,
// it finds each of them once.
func (p *plain) key(name string) bool {
	b := p.rest
	if !p.first {
		if len(b) == 0 || b[0] != ',' {
			return false
		}
		b = b[1:]
	}
	n := len(name)
	if len(b) < n+3 || b[0] != '"' || b[n+1] != '"' || b[n+2] != ':' || string(b[1:n+1]) != name {
		return false
	}
	p.rest, p.first = b[n+3:], false
	return true
}

// item tells whether an array goes on.
func (p *plain) item() bool {
	switch {
	case len(p.rest) == 0 || p.rest[0] == ']':
		return false
	case p.first:
		p.first = false
	default:
		p.mark(',')
	}
	return !p.bad
}

// list reads an array that mostly has so many elements; an empty one is not nil,
// as with encoding/json.
func list[T any](p *plain, mostly int, one func(*plain, *T)) []T {
	p.open('[')
	out := make([]T, 0, mostly)
	for p.item() {
		var v T
		out = append(out, v)
		one(p, &out[len(out)-1])
	}
	p.close(']')
	return out
}

// text reads a string without escapes; it is a part of the body.
func (p *plain) text() []byte {
	p.mark('"')
	ascii := true
	for i, c := range p.rest {
		switch {
		case c == '"':
			s := p.rest[:i]
			p.rest = p.rest[i+1:]
			if !ascii && !utf8.Valid(s) {
				p.bad = true // encoding/json puts another letter there
			}
			return s
		case c == '\\' || c < ' ':
			p.bad, p.rest = true, nil
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	p.bad, p.rest = true, nil
	return nil
}

func (p *plain) string() string { return string(p.text()) }

// resource reads the name of one; the known ones take no room.
func (p *plain) resource() Resource {
	s := p.text()
	if kind, ok := KindOf(Resource(s)); ok {
		return kind.Resource
	}
	return Resource(s)
}

// maxDigits is how many digits fit any of our numbers.
const maxDigits = 18

// number reads a whole number that is not negative.
func (p *plain) number() int64 {
	var n int64
	i := 0
	for ; i < len(p.rest) && i <= maxDigits && p.rest[i] >= '0' && p.rest[i] <= '9'; i++ {
		n = n*10 + int64(p.rest[i]-'0')
	}
	if i == 0 || i > maxDigits || i > 1 && p.rest[0] == '0' {
		p.bad, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[i:]
	return n
}

// word takes a word that comes next.
func (p *plain) word(w string) bool {
	if len(p.rest) < len(w) || string(p.rest[:len(w)]) != w {
		return false
	}
	p.rest = p.rest[len(w):]
	return true
}

func (p *plain) bool() bool {
	if p.word("true") {
		return true
	}
	if !p.word("false") {
		p.bad, p.rest = true, nil
	}
	return false
}

// time reads one as encoding/json has time read it.
func (p *plain) time() (t time.Time) {
	if t.UnmarshalText(p.text()) != nil {
		p.bad, p.rest = true, nil
	}
	return t
}

// maxDepth is how deep a body may lie in itself before it is left to encoding/json.
const maxDepth = 64

// raw reads any value but null, and keeps its bytes.
func (p *plain) raw() json.RawMessage {
	from := p.rest
	if len(from) > 0 && from[0] == 'n' {
		p.bad, p.rest = true, nil
		return nil
	}
	p.skip(maxDepth)
	if p.bad {
		return nil
	}
	p.first = false
	return append(json.RawMessage(nil), from[:len(from)-len(p.rest)]...)
}

// skip passes over a value.
func (p *plain) skip(depth int) {
	switch {
	case len(p.rest) == 0 || depth == 0:
		p.bad, p.rest = true, nil
	case p.rest[0] == '{':
		p.open('{')
		for p.member() {
			p.quoted()
			p.mark(':')
			p.skip(depth - 1)
		}
		p.close('}')
	case p.rest[0] == '[':
		p.open('[')
		for p.item() {
			p.skip(depth - 1)
		}
		p.close(']')
	case p.rest[0] == '"':
		p.quoted()
	case p.word("true") || p.word("false") || p.word("null"):
	default:
		p.number()
	}
}

// member is item for objects.
func (p *plain) member() bool {
	switch {
	case len(p.rest) == 0 || p.rest[0] == '}':
		return false
	case p.first:
		p.first = false
	default:
		p.mark(',')
	}
	return !p.bad
}

// quoted passes over a string that may have escapes of one letter.
func (p *plain) quoted() {
	p.mark('"')
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return
		case c < ' ':
			p.bad, p.rest = true, nil
			return
		case c == '\\':
			if i++; i == len(p.rest) || !escapes[p.rest[i]] {
				p.bad, p.rest = true, nil
				return
			}
		}
	}
	p.bad, p.rest = true, nil
}

var escapes = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}
