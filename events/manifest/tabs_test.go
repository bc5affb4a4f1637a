package manifest

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// Tabs stay in text, as with kubectl: the parser took those out of plain words that had them.
func TestTabsStay(t *testing.T) {
	for _, v := range []string{"a\tb", "a \tb", "a\t b", "a\t\tb", "a \t b\tc", "\tb", "b\t", "b\t# c", "b \t # c", "'a\tb'", "\"a\tb\"", "'a'\t", "\"a\"\t# c", "|\n    a\tb\n    \tc\n     \td\t", "|\t# x\n    a", "[a\tb, c]", "[a,\tb\t, c\t]",
		"{a\tb: c\td}", "{a:\tb,\tc:\td\t}", "a\n    b\tc", "a\n    \tb", ">\n    a\tb\n    c", "&x a\tb", "&x\ta\tb", "!!str a\tb", "!!str\ta", "a#b\tc", "x -\ty", "-x\ty", "a:b\tc", "echo 'a'\tb", "1\t2", "true\tx", "é\té", "a\t-b", "a\t:b", "a\t#b"} {
		for _, src := range []string{"k: " + v + "\n", "- " + v + "\n", "k:\n  - " + v + "\n", "k:\t" + v + "\n", "-\t" + v + "\nx: y\n", "k: " + v + "\nl:\tm\n"} {
			theirs, err := yaml.YAMLToJSON([]byte(src))
			if err != nil {
				continue // what is no YAML for them need not be any here
			}
			var p problems
			n := readYAML(&p, src, 0)
			if n == nil {
				if len(p.all) == 0 {
					t.Errorf("%q is nothing, and is not told of", src)
				}
				continue // it is told of
			}
			if ours := compact(t, n.json(nil)); ours != compact(t, theirs) {
				t.Errorf("%q\nhave %s\nwant %s", src, ours, theirs)
			}
		}
	}
}

func compact(t interface{ Fatal(...any) }, raw []byte) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Whatever stands around them, tabs between words stay, and holding them changes nothing else.
func TestTabsBetweenWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := "k: w"
		for range rapid.IntRange(1, 4).Draw(t, "words") {
			src += rapid.SampledFrom([]string{"\t", " \t", "\t ", " ", "\t\t"}).Draw(t, "blanks") + rapid.StringMatching(`[a-z0-9][a-z0-9/=.#:'"&*!|>@-]{0,4}[a-z]`).Draw(t, "word")
		}
		var p problems
		n := readYAML(&p, src+"\n", 0)
		theirs, err := yaml.YAMLToJSON([]byte(src + "\n"))
		if err != nil || n == nil {
			return
		}
		if ours := compact(t, n.json(nil)); ours != compact(t, theirs) {
			t.Fatalf("%q\nhave %s\nwant %s", src, ours, theirs)
		}
	})
}
