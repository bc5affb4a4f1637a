package manifest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stave-run/stave/events"
)

// Decode reads a file of manifests: YAML with any number of documents, or JSON
// values one after the other; Lists are taken apart. Every problem of the file
// is returned, in the order of its lines; the documents that have none too.
func Decode(name string, data []byte) ([]Doc, []*Problem) {
	return DecodeOf(events.Catalogue{}, name, data)
}

// DecodeOf is Decode for a cluster that has the kinds of a catalogue. Of an object
// of a definition only its metadata is checked: what else it may hold is for the
// cluster to say.
func DecodeOf(kinds events.Catalogue, name string, data []byte) ([]Doc, []*Problem) {
	d := decoder{kinds: kinds, problems: problems{file: name}}
	data = asUTF8(data)
	switch first := bytes.TrimLeft(data, " \t\r\n"); {
	case len(data) > MaxBytes:
		d.add(position{}, "", "split the file", "%d MiB, at most %d are read", len(data)>>20, MaxBytes>>20)
	case !utf8.Valid(data):
		d.add(badByte(data), "", "save the file as UTF-8", "not UTF-8")
	case len(first) > 0 && first[0] == '{' && jsonLike(first):
		for _, n := range readJSON(&d.problems, data) {
			d.document(n)
		}
	default:
		d.yaml(string(data))
	}
	return d.docs, d.done()
}

// jsonLike tells JSON from a YAML flow mapping ({a: b}) by the quote of its first key.
func jsonLike(b []byte) bool {
	rest := bytes.TrimLeft(b[1:], " \t\r\n")
	return len(rest) == 0 || rest[0] == '"' || rest[0] == '}'
}

func badByte(data []byte) position {
	at := position{1, 1}
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			break
		}
		at.column += n
		if r == '\n' {
			at = position{at.line + 1, 1}
		}
		data = data[n:]
	}
	return at
}

// decoder is one Decode under way.
type decoder struct {
	problems
	kinds events.Catalogue
	docs  []Doc
	count int
}

func (d *decoder) yaml(src string) {
	for _, doc := range splitYAML(src) {
		if len(doc.text) > MaxDocument {
			d.add(position{doc.line + 1, 1}, "", "split it", "a document of %d KiB, at most %d are read", len(doc.text)>>10, MaxDocument>>10)
			continue
		}
		if blank(doc.text) {
			continue // the parser is spared the nothing between two separators
		}
		if n := readYAML(&d.problems, doc.text, doc.line); n != nil {
			d.document(n)
		}
	}
}

func blank(src string) bool {
	for l := range strings.Lines(src) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			return false
		}
	}
	return true
}

// done puts the problems in the order of the file and bounds them.
func (d *decoder) done() []*Problem {
	slices.SortStableFunc(d.all, func(a, b *Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if more := len(d.all) - MaxProblems; more > 0 {
		d.all = d.all[:MaxProblems]
		d.add(position{}, "", "", "and %d problems more", more)
	}
	return d.all
}

// document decodes one value of the file: an object, or a List of them.
func (d *decoder) document(n *node) {
	if n.kind != mapping {
		d.add(n.at, "", "begin with apiVersion: and kind:", "a manifest is a map, this is %s", kindWords[n.kind])
		return
	}
	if items := n.get("items"); d.isList(n.str("kind")) && items != nil && items.kind == sequence {
		for _, item := range items.items {
			d.document(item)
		}
		return
	}
	if d.count++; d.count > MaxDocuments {
		if d.count == MaxDocuments+1 {
			d.add(n.at, "", "split the file", "more than %d objects", MaxDocuments)
		}
		return
	}
	before := len(d.all)
	kind, ok := d.header(n)
	if !ok {
		return
	}
	object := kind.New()
	d.check(n, object, kind)
	if len(d.all) > before {
		return
	}
	if err := json.Unmarshal(n.json(nil), object); err != nil {
		// The strict check has looked at every value; what is left are rules of a
		// type's own decoder about several values together.
		d.add(n.at, "", "", "%v", err)
		return
	}
	if old, ok := object.(*autoscalingv1.HorizontalPodAutoscaler); ok {
		d.docs = append(d.docs, DocOf(AutoscalerFromV1(old))) // from here on it is of the version that is kept
		return
	}
	object.GetObjectKind().SetGroupVersionKind(kind.GVK())
	d.docs = append(d.docs, Doc{Object: object, Kind: kind, file: d.file, written: n})
}

// isList tells List, and what `get -o yaml` prints for one kind: PodList.
func (d *decoder) isList(kind string) bool {
	name, ok := strings.CutSuffix(kind, "List")
	if name == "" {
		return ok
	}
	return ok && slices.ContainsFunc(d.kinds.All(), func(k events.Kind) bool { return k.Name == name })
}

// header finds the document's kind.
func (d *decoder) header(n *node) (events.Kind, bool) {
	version, kind := n.str("apiVersion"), n.str("kind")
	if version != "" && kind != "" {
		if k, ok := d.kinds.For(version, kind); ok {
			return k, true
		}
		for _, k := range events.OlderKinds {
			if k.Name == kind && k.APIVersion() == version {
				return k, true
			}
		}
		d.unknownKind(n, version, kind)
		return events.Kind{}, false
	}
	for _, field := range []string{"apiVersion", "kind"} {
		switch e, ok := n.find(field); {
		case !ok || e.value.kind == null:
			d.add(n.at, field, d.missingHeader(field, kind), "missing")
		case e.value.kind != text || e.value.text == "":
			d.add(e.value.at, field, "", "wants a string, this is %s", kindWords[e.value.kind])
		}
	}
	return events.Kind{}, false
}

func (d *decoder) missingHeader(field, kind string) string {
	if field == "apiVersion" {
		for _, k := range d.kinds.All() {
			if k.Name == kind {
				return "add apiVersion: " + k.APIVersion()
			}
		}
		return "add apiVersion: v1, or the kind's own"
	}
	return "add kind:, one of those that 'stave api-resources' lists"
}

// listsKinds is where to look for a kind: they are too many to name in an error.
const listsKinds = "'stave api-resources' lists the kinds"

func (d *decoder) unknownKind(n *node, version, kind string) {
	defer func() { d.all[len(d.all)-1].Kind = true }()
	for _, k := range d.kinds.All() {
		if k.Name == kind && moved(version, k) {
			e, _ := n.find("apiVersion")
			d.add(e.value.at, "apiVersion", "write apiVersion: "+k.APIVersion(), "no %s in %s", kind, version)
			return
		}
	}
	e, _ := n.find("kind")
	for _, k := range events.NoteKinds {
		if k.Name == kind && k.APIVersion() == version {
			d.add(e.value.at, "kind", "kubectl writes it, through the Kubernetes API", "each %s of %s is kept beside the log, where stave does not write", kind, version)
			return
		}
	}
	fix := listsKinds
	if near := nearest(kind, d.kindNames()); near != "" && near != kind {
		fix = "did you mean " + near + "?"
	}
	d.add(e.value.at, "kind", fix, "no kind %q in version %q here", kind, version)
}

// moved tells whether somebody who writes this version can mean the kind: one of Kubernetes' groups is taken for another, but a group
// of somebody's own has its own kinds, whatever their names.
func moved(version string, k events.Kind) bool {
	gv, err := schema.ParseGroupVersion(version)
	foreign := strings.Contains(gv.Group, ".") && !strings.HasSuffix(gv.Group, ".k8s.io")
	return err != nil || gv.Group == k.Group || !foreign && !k.Custom()
}

func (d *decoder) kindNames() []string {
	var out []string
	for _, k := range d.kinds.All() {
		out = append(out, k.Name)
	}
	return out
}
