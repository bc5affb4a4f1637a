package custom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/jsonpath"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/table"
)

// ageColumn is what objects show whose definition says nothing of columns.
var ageColumn = []apiextensionsv1.CustomResourceColumnDefinition{{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp",
	Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]}}

// printer makes the cells of a version's objects.
type printer struct {
	columns []metav1.TableColumnDefinition // the name's first
	paths   []*jsonpath.JSONPath
}

func newPrinter(columns []apiextensionsv1.CustomResourceColumnDefinition) (*printer, error) {
	if len(columns) == 0 {
		columns = ageColumn
	}
	p := &printer{columns: []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}}}
	for _, c := range columns {
		path := jsonpath.New(c.Name).AllowMissingKeys(true)
		if err := path.Parse("{" + c.JSONPath + "}"); err != nil {
			return nil, fmt.Errorf("read column %s: path %q: %w", c.Name, c.JSONPath, err)
		}
		words := c.Description
		if words == "" {
			words = "Custom resource definition column (in JSONPath format): " + c.JSONPath
		}
		p.paths = append(p.paths, path)
		p.columns = append(p.columns, metav1.TableColumnDefinition{Name: c.Name, Type: c.Type, Format: c.Format, Description: words, Priority: c.Priority})
	}
	return p, nil
}

// Columns are the headers of the version's objects.
func (v *Version) Columns() []metav1.TableColumnDefinition { return v.printer.columns }

// Cells is an object's row, as Kubernetes' clients want it: one value a column, nil
// where the object has none. Ages count back from now.
func (v *Version) Cells(o runtime.Unstructured, name string, now time.Time) []any {
	return v.printer.cells(o.UnstructuredContent(), name, now)
}

func (p *printer) cells(content map[string]any, name string, now time.Time) []any {
	out := []any{name}
	for i, path := range p.paths {
		found, err := path.FindResults(content)
		if err != nil || len(found) == 0 || len(found[0]) == 0 {
			out = append(out, nil)
			continue
		}
		value := found[0][0].Interface()
		if p.columns[i+1].Type != "string" {
			out = append(out, cell(p.columns[i+1].Type, value, now))
			continue
		}
		var b bytes.Buffer
		if path.PrintResults(&b, []reflect.Value{reflect.ValueOf(value)}) != nil {
			out = append(out, nil)
			continue
		}
		out = append(out, b.String())
	}
	return out
}

// cell is a value as its column wants it, nil when it is another.
func cell(want string, value any, now time.Time) any {
	switch v := value.(type) {
	case int64:
		if want == "integer" {
			return v
		}
		if want == "number" {
			return float64(v)
		}
	case float64:
		if want == "integer" {
			return int64(v)
		}
		if want == "number" {
			return v
		}
	case json.Number:
		n, err := v.Float64()
		if err == nil {
			return cell(want, n, now)
		}
	case bool:
		if want == "boolean" {
			return v
		}
	case string:
		if want == "date" {
			return age(v, now)
		}
	}
	return nil
}

func age(stamp string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return "<invalid>"
	}
	return table.Age(now.Sub(t))
}

// Table is the table of objects of one kind, in the words of its columns; columns
// are those of the kind's version.
func Table(kind events.Kind, columns []apiextensionsv1.CustomResourceColumnDefinition, objects []events.Object, now time.Time) (table.Table, error) {
	p, err := newPrinter(columns)
	if err != nil {
		return table.Table{}, err
	}
	t := table.Table{Rows: make([]table.Row, 0, len(objects))}
	for _, c := range p.columns {
		t.Columns = append(t.Columns, table.Column{Name: strings.ToUpper(c.Name), Wide: c.Priority > 0})
	}
	for _, o := range objects {
		r := table.Row{Kind: kind.Printed(), Namespace: o.GetNamespace(), Name: o.GetName(), Labels: o.GetLabels()}
		u, ok := o.(runtime.Unstructured)
		if !ok {
			return t, fmt.Errorf("print %s: %T is no object of a definition", o.GetName(), o)
		}
		for _, x := range p.cells(u.UnstructuredContent(), o.GetName(), now) {
			text := ""
			if x != nil {
				text = fmt.Sprint(x)
			}
			r.Cells = append(r.Cells, text)
		}
		t.Rows = append(t.Rows, r)
	}
	return t, nil
}
