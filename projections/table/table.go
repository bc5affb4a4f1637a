// Package table is how objects look to people: the columns and rows of get, and
// describe. It is shared by every door, so that all of them say the same.
//
// Columns, words and ages are kubectl's: people's eyes and scripts know them.
package table

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
)

// Table is rows of cells under columns.
type Table struct {
	Columns []Column
	Rows    []Row
}

// Column is one property of a kind.
type Column struct {
	Name string // upper case, as printed
	Wide bool   // only with -o wide
}

// Row is one object.
type Row struct {
	Kind      string // as result lines print it: "deployment.apps"
	Namespace string
	Name      string
	Labels    map[string]string
	Cells     []string // one a column
}

// Options say what of a table is printed.
type Options struct {
	Wide         bool
	NoHeaders    bool
	Namespace    bool // a NAMESPACE column first
	ShowLabels   bool // a LABELS column last
	LabelColumns []string
	KindPrefix   bool // names as kind/name, when several kinds are printed
	// Widths are those of rows printed before, for a table that grows row by row.
	Widths *Widths
}

// Widths remembers how wide the columns of a growing table are.
type Widths struct{ columns []int }

// Of makes the table of a resource's objects; ages count back from now.
func Of(r events.Resource, objects []events.Object, now time.Time) Table {
	p, ok := printers[r]
	if !ok {
		p, ok = networkPrinters[r]
	}
	if !ok {
		p, ok = devicePrinters[r]
	}
	if !ok {
		p = printer{columns: cols("NAME AGE"), cells: func(o events.Object, now time.Time) []string {
			return []string{o.GetName(), AgeOf(o, now)}
		}}
	}
	kind, _ := events.KindOf(r)
	t := Table{Columns: p.columns, Rows: make([]Row, 0, len(objects))}
	for _, o := range objects {
		t.Rows = append(t.Rows, Row{Kind: kind.Printed(), Namespace: o.GetNamespace(), Name: o.GetName(), Labels: o.GetLabels(),
			Cells: padded(p.cells(o, now), len(p.columns))})
	}
	return t
}

// padded gives a row a cell for every column.
func padded(cells []string, n int) []string { return append(cells, make([]string, n-len(cells))...) }

// Print lays a table out as kubectl does: columns three blanks apart, the last
// one unpadded. Without rows it is empty.
func Print(t Table, o Options) string {
	if len(t.Rows) == 0 {
		return ""
	}
	var lines [][]string
	if !o.NoHeaders {
		lines = append(lines, t.header(o))
	}
	for _, r := range t.Rows {
		lines = append(lines, t.line(r, o))
	}
	if o.Widths == nil {
		o.Widths = &Widths{}
	}
	return o.Widths.layOut(lines)
}

func (t Table) header(o Options) []string {
	var out []string
	if o.Namespace {
		out = append(out, "NAMESPACE")
	}
	for _, c := range t.Columns {
		if !c.Wide || o.Wide {
			out = append(out, c.Name)
		}
	}
	for _, l := range o.LabelColumns {
		out = append(out, strings.ToUpper(l[strings.LastIndexByte(l, '/')+1:]))
	}
	if o.ShowLabels {
		out = append(out, "LABELS")
	}
	return out
}

func (t Table) line(r Row, o Options) []string {
	var out []string
	if o.Namespace {
		out = append(out, r.Namespace)
	}
	for i, c := range t.Columns {
		switch {
		case c.Wide && !o.Wide:
		case i == 0 && o.KindPrefix:
			out = append(out, r.Kind+"/"+r.Cells[i])
		default:
			out = append(out, oneLine(r.Cells[i]))
		}
	}
	for _, l := range o.LabelColumns {
		out = append(out, r.Labels[l])
	}
	if o.ShowLabels {
		out = append(out, labelText(r.Labels))
	}
	return out
}

// oneLine keeps a cell from breaking its row.
func oneLine(s string) string {
	if i := strings.IndexAny(s, "\n\r\f"); i >= 0 {
		return s[:i] + "..."
	}
	return s
}

// gap is how far kubectl's columns stand apart.
const gap = "   "

func (w *Widths) layOut(lines [][]string) string {
	width := w.columns
	for _, l := range lines {
		for i, c := range l {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	w.columns = width
	var b strings.Builder
	for _, l := range lines {
		for i, c := range l {
			b.WriteString(c)
			if i < len(l)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(c))) + gap)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func labelText(m map[string]string) string {
	if len(m) == 0 {
		return "<none>"
	}
	return labels.FormatLabels(m)
}

// cols reads the names of columns: those that are always shown, apart by blanks,
// and the wide ones, which may hold blanks.
func cols(narrow string, wide ...string) []Column {
	var out []Column
	for _, n := range strings.Fields(narrow) {
		out = append(out, Column{Name: n})
	}
	for _, n := range wide {
		out = append(out, Column{Name: n, Wide: true})
	}
	return slices.Clip(out)
}

// printer is how a kind's objects become cells.
type printer struct {
	columns []Column
	cells   func(o events.Object, now time.Time) []string
}
