package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// jsonFloat writes a float as JSON can hold it.
func jsonFloat(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "null"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// jsonReader turns JSON into nodes. It is beside the YAML reader because people
// pipe megabytes of it, which a YAML parser is slow at.
type jsonReader struct {
	p     *problems
	src   []byte
	dec   *json.Decoder
	line  int // position of offset: lines before it, and where its line begins
	begin int64
	seen  int64
	nodes int
}

var errStop = errors.New("given up")

// readJSON reads every JSON value of a file.
func readJSON(p *problems, src []byte) []*node {
	r := jsonReader{p: p, src: src, dec: json.NewDecoder(bytes.NewReader(src)), line: 1}
	r.dec.UseNumber()
	var out []*node
	for {
		tok, err := r.dec.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		r.nodes = 0
		var n *node
		if err == nil {
			n, err = r.value(tok, 0)
		}
		if err != nil {
			r.fail(err)
			return out
		}
		if out = append(out, n); len(out) > MaxDocuments {
			return out // the caller counts too, and says so
		}
	}
}

func (r *jsonReader) fail(err error) {
	if errors.Is(err, errStop) {
		return // said where it happened
	}
	at := r.place(r.dec.InputOffset())
	var s *json.SyntaxError
	if errors.As(err, &s) {
		// The decoder points at where it stood; what it stumbled on comes next.
		after := bytes.TrimLeft(r.src[min(max(s.Offset-1, 0), int64(len(r.src))):], " \t\r\n,:")
		at = r.place(int64(len(r.src) - len(after)))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.p.add(at, "", "close every bracket and quote", "not JSON: it ends too early")
		return
	}
	r.p.add(at, "", "", "not JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// place is where an offset stands. Offsets only grow, so the file is walked once.
func (r *jsonReader) place(offset int64) position {
	offset = min(max(offset, 0), int64(len(r.src)))
	if offset < r.seen {
		before := r.src[:offset]
		return position{1 + bytes.Count(before, []byte("\n")), int(offset) - bytes.LastIndexByte(before, '\n')}
	}
	for ; r.seen < offset; r.seen++ {
		if r.src[r.seen] == '\n' {
			r.line++
			r.begin = r.seen + 1
		}
	}
	return position{r.line, int(offset-r.begin) + 1}
}

// start is where the token begins that ends at the decoder's offset.
func (r *jsonReader) start(tok json.Token) position {
	end := r.dec.InputOffset()
	switch t := tok.(type) {
	case string:
		return r.place(r.quote(end))
	case json.Number:
		return r.place(end - int64(len(t)))
	case bool:
		return r.place(end - int64(len(fmt.Sprint(t))))
	case nil:
		return r.place(end - int64(len("null")))
	}
	return r.place(end - 1)
}

// quote finds the opening quote of the string that ends at end: the nearest
// quote before it that an even number of backslashes precedes.
func (r *jsonReader) quote(end int64) int64 {
	for i := end - 2; i >= 0; i-- {
		if r.src[i] != '"' {
			continue
		}
		slashes := 0
		for j := i - 1; j >= 0 && r.src[j] == '\\'; j-- {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
	return 0
}

func (r *jsonReader) value(tok json.Token, depth int) (*node, error) {
	n := &node{at: r.start(tok)}
	if r.nodes++; depth > MaxDepth || r.nodes > MaxNodes {
		r.p.add(n.at, "", "", "nested deeper than %d levels or more than %d values", MaxDepth, MaxNodes)
		return nil, errStop
	}
	switch t := tok.(type) {
	case string:
		n.kind, n.text = text, t
	case json.Number:
		n.kind, n.text = number, t.String()
	case bool:
		n.kind, n.text = boolean, strconv.FormatBool(t)
	case json.Delim:
		if t == '[' {
			return n, r.list(n, depth)
		}
		return n, r.object(n, depth)
	}
	return n, nil
}

func (r *jsonReader) list(n *node, depth int) error {
	n.kind = sequence
	for r.dec.More() {
		tok, err := r.dec.Token()
		if err != nil {
			return err
		}
		v, err := r.value(tok, depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, v)
	}
	_, err := r.dec.Token()
	return err
}

func (r *jsonReader) object(n *node, depth int) error {
	n.kind = mapping
	for r.dec.More() {
		tok, err := r.dec.Token()
		if err != nil {
			return err
		}
		key, _ := tok.(string)
		at := r.start(tok)
		if tok, err = r.dec.Token(); err != nil {
			return err
		}
		v, err := r.value(tok, depth+1)
		if err != nil {
			return err
		}
		n.fields = append(n.fields, entry{key, at, v})
	}
	n.dedupe()
	_, err := r.dec.Token()
	return err
}
