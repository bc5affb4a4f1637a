package kube

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// form is how rows of a list are written.
type form byte

const (
	otherForm form = iota
	asJSON
	asProtobuf
)

// untransformedKey is under what a context has that an answer is not made a table or metadata alone.
type untransformedKey struct{}

// untransformed tells those lists of a handler that are answered as they are.
func untransformed(list http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
		if !strings.Contains(accept, "as") { // no name of a form has it: the parameter is not there
			r = r.WithContext(context.WithValue(r.Context(), untransformedKey{}, true))
		}
		list.ServeHTTP(w, r)
	}
}

// shownAsRows tells whether a list is one whose rows may be found encoded: of pods, by namespace and labels.
func (o *objects) shownAsRows(ctx context.Context, want selection) bool {
	plain, _ := ctx.Value(untransformedKey{}).(bool)
	return plain && o.kind.Resource == events.Pods && want.name == "" && want.fields.Empty()
}

// rowList is a list of pods on its way to the encoder, which it stands in for: it writes the bytes that the list of
// these objects would be encoded to, and looks only at those that it has no bytes of.
type rowList struct {
	metav1.TypeMeta
	metav1.ListMeta
	of   *objects
	view projections.State
	rows []*projections.Object
}

var _ runtime.CacheableObject = &rowList{}

// rowList is what collect is for a list that is shown as rows.
func (o *objects) rowList(p page, want selection, limit int) *rowList {
	l := &rowList{of: o, view: p.view}
	l.APIVersion, l.Kind = o.kind.APIVersion(), o.kind.Name+"List"
	rest := 0
	for row := range p.view.ListAfter(p.last(o.kind), want.namespace) {
		if !want.everything && !want.labels.Matches(labels.Set(row.PodLabels())) {
			continue
		}
		if limit > 0 && len(l.rows) == limit {
			rest = 1
			break
		}
		l.rows = append(l.rows, row)
	}
	var last events.Key
	if rest > 0 {
		last = l.rows[limit-1].Key
	}
	if rest > 0 && want.everything {
		rest = p.view.CountAfter(last, want.namespace)
	}
	o.headed(l, p, want, last, rest)
	return l
}

// CacheEncode implements runtime.CacheableObject. Forms that are seldom asked for are left to the encoder.
func (l *rowList) CacheEncode(id runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	switch l.of.formOf(id) {
	case asJSON:
		return l.writeJSON(w)
	case asProtobuf:
		return l.writeProtobuf(w)
	}
	return encode(l.GetObject(), w)
}

// formOf is the form that an encoder writes.
func (o *objects) formOf(id runtime.Identifier) form {
	known := map[string]form{runtime.ContentTypeJSON: asJSON, runtime.ContentTypeProtobuf: asProtobuf}
	for _, info := range o.codecs.SupportedMediaTypes() {
		f := known[info.MediaType]
		if f != otherForm && o.codecs.EncoderForVersion(info.Serializer, o.kind.GVK().GroupVersion()).Identifier() == id {
			return f
		}
	}
	return otherForm
}

// GetObject implements runtime.CacheableObject: the list of the objects.
func (l *rowList) GetObject() runtime.Object {
	items := make([]events.Object, len(l.rows))
	for i, row := range l.rows {
		items[i] = l.object(row)
	}
	list := &corev1.PodList{TypeMeta: l.TypeMeta, ListMeta: l.ListMeta, Items: []corev1.Pod{}}
	fill(list, items)
	return list
}

// GetObjectKind implements runtime.Object.
func (l *rowList) GetObjectKind() schema.ObjectKind { return &l.TypeMeta }

// DeepCopyObject implements runtime.Object: the copy is the list of the objects.
func (l *rowList) DeepCopyObject() runtime.Object { return l.GetObject() }

// object is a row as this door shows it in lists, where items don't say what they are.
func (l *rowList) object(row *projections.Object) events.Object {
	found := l.of.dressedAs(row, l.view.Peek(row, l.of.Now()))
	found.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return found
}

// item is a row in one form, as it was written for an earlier list if it is still the same.
func (l *rowList) item(row *projections.Object, f form, encode func(events.Object) ([]byte, error)) ([]byte, error) {
	k := encodedKey{row.UID, f}
	from, known := l.view.SourcesOf(row)
	if known {
		if found := l.of.encoded.get(k, from); found != nil {
			return found, nil
		}
	}
	out, err := encode(l.object(row))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", row.Key, err)
	}
	if known {
		l.of.encoded.put(k, from, out)
	}
	return out, nil
}

// writeJSON writes what the encoder of JSON does, in pieces as it does: it compresses what is long, and tells by
// the first piece that more follow.
func (l *rowList) writeJSON(w io.Writer) error {
	head, err := json.Marshal(struct {
		metav1.TypeMeta
		Metadata metav1.ListMeta `json:"metadata"`
	}{l.TypeMeta, l.ListMeta})
	if err != nil {
		return fmt.Errorf("encode list: %w", err)
	}
	if err := write(w, head[:1], head[1:len(head)-1], []byte(`,"items":[`)); err != nil {
		return err
	}
	for i, row := range l.rows {
		item, err := l.item(row, asJSON, itemJSON)
		if err != nil {
			return err
		}
		if i == 0 {
			item = item[1:]
		}
		if err := write(w, item); err != nil {
			return err
		}
	}
	return write(w, []byte("]}\n"))
}

// itemJSON is an object behind the comma that stands before all but the first.
func itemJSON(o events.Object) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(',')
	if err := json.NewEncoder(&b).Encode(o); err != nil {
		return nil, err
	}
	return bytes.Clone(b.Bytes()[:b.Len()-1]), nil // without the line's end, and without room to grow
}

// protobufStart is what all that Kubernetes writes as protobuf begins with.
var protobufStart = []byte("k8s\x00")

// The fields of a list, whose values have a length.
const (
	listMetaField = 1<<3 | 2
	itemsField    = 2<<3 | 2
)

// writeProtobuf writes what the encoder of protobuf does. A list's length stands before it.
func (l *rowList) writeProtobuf(w io.Writer) error {
	head, err := l.ListMeta.Marshal()
	if err != nil {
		return fmt.Errorf("encode list: %w", err)
	}
	parts := make([][]byte, 1, len(l.rows)+1)
	parts[0] = sized(listMetaField, head)
	size := len(parts[0])
	for _, row := range l.rows {
		item, err := l.item(row, asProtobuf, itemProtobuf)
		if err != nil {
			return err
		}
		parts = append(parts, item)
		size += len(item)
	}
	if err := write(w, protobufStart); err != nil {
		return err
	}
	around := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: l.APIVersion, Kind: l.Kind}}
	_, err = around.MarshalToWriter(w, size, func(w io.Writer) (int, error) { return size, write(w, parts...) })
	return err
}

// itemProtobuf is an object as a field of its list.
func itemProtobuf(o events.Object) ([]byte, error) {
	m, ok := o.(interface{ Marshal() ([]byte, error) })
	if !ok {
		return nil, fmt.Errorf("%T has no protobuf", o)
	}
	raw, err := m.Marshal()
	return sized(itemsField, raw), err
}

// sized is a field of protobuf whose value has a length.
func sized(field byte, value []byte) []byte {
	head := binary.AppendUvarint([]byte{field}, uint64(len(value)))
	return append(head, value...)
}

// write writes one after the other.
func write(w io.Writer, parts ...[]byte) error {
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}
