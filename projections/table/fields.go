package table

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/stave-run/stave/events"
)

// fields tells of an object of whatever kind all that it holds, as kubectl does of custom ones.
func (p page) fields(o events.Object) {
	p.meta(o)
	content := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(events.MustBody(o)))
	d.UseNumber() // as it is written
	if d.Decode(&content) != nil {
		return // no object of ours is like that
	}
	if meta, ok := content["metadata"].(map[string]any); ok {
		for _, told := range []string{"managedFields", "name", "namespace", "labels", "annotations"} {
			delete(meta, told)
		}
	}
	p.content(0, content)
}

func (p page) content(level int, content map[string]any) {
	for _, name := range sortedKeys(content) {
		switch v := content[name].(type) {
		case map[string]any:
			p.line(level, "%s:", label(name))
			p.content(level+1, v)
		case []any:
			p.line(level, "%s:", label(name))
			for _, x := range v {
				if m, ok := x.(map[string]any); ok {
					p.content(level+1, m)
				} else {
					p.line(level+1, "%v", x)
				}
			}
		default:
			p.line(level, "%s:\t%v", label(name), v)
		}
	}
}

// label is a field's name as a title: "clusterIP" is "Cluster IP". Names with anything but letters stay as they are.
func label(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return name
	}
	words := camels(name)
	for i, w := range words {
		if slices.Contains([]string{"API", "URL", "UID", "GUID"}, strings.ToUpper(w)) {
			words[i] = strings.ToUpper(w)
			continue
		}
		r := []rune(w)
		r[0] = unicode.ToUpper(r[0])
		words[i] = string(r)
	}
	return strings.Join(words, " ")
}

// camels are the words of a name in camel case. Of several capitals the last begins a word when small letters follow; a word
// that is an abbreviation stays with the one behind it, as in kubectl: "httpGet" is two, "HTTPGet" one.
func camels(name string) []string {
	var out []string
	runes, from := []rune(name), 0
	for i := 1; i <= len(runes); i++ {
		ends := i == len(runes) || unicode.IsUpper(runes[i]) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && !unicode.IsUpper(runes[i+1]))
		if !ends {
			continue
		}
		w := string(runes[from:i])
		if n := len(out); n > 0 && from > 0 && unicode.IsUpper(runes[from]) && len(out[n-1]) > 1 && strings.ToUpper(out[n-1]) == out[n-1] {
			out[n-1] += w
		} else {
			out = append(out, w)
		}
		from = i
	}
	return out
}
