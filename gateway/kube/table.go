package kube

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/table"
)

// ConvertToTable implements rest.TableConvertor, with the rows of `stave get`.
func (o *objects) ConvertToTable(_ context.Context, obj, opts runtime.Object) (*metav1.Table, error) {
	out, err := tableOf(obj, opts, func(found []events.Object) table.Table { return table.Of(o.kind.Resource, found, o.Now()) })
	if err == nil && o.definition != nil {
		o.customCells(out)
	}
	return out, err
}

// ConvertToTable implements rest.TableConvertor: both kinds of events look the same.
func (n *notes) ConvertToTable(_ context.Context, obj, opts runtime.Object) (*metav1.Table, error) {
	return tableOf(obj, opts, func(found []events.Object) table.Table {
		var kept []events.Object
		for _, o := range found {
			kept = append(kept, n.keep(o))
		}
		return table.Of(n.shelf, kept, n.Now())
	})
}

// customCells makes a table one with the columns of a definition.
func (o *objects) customCells(t *metav1.Table) {
	v := o.definition.Versions[o.kind.Version]
	if len(t.ColumnDefinitions) > 0 {
		t.ColumnDefinitions = v.Columns()
	}
	for i, r := range t.Rows {
		if u, ok := r.Object.Object.(*unstructured.Unstructured); ok {
			t.Rows[i].Cells = v.Cells(u, u.GetName(), o.Now())
		}
	}
}

// tableOf puts what print makes of an object, or of a list, into a Table.
func tableOf(obj, opts runtime.Object, print func([]events.Object) table.Table) (*metav1.Table, error) {
	var found []events.Object
	out := &metav1.Table{}
	if meta.IsListType(obj) {
		err := meta.EachListItem(obj, func(item runtime.Object) error {
			x, ok := item.(events.Object)
			if !ok {
				return fmt.Errorf("print %T: not an object", item)
			}
			found = append(found, x)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if m, err := meta.ListAccessor(obj); err == nil {
			out.ListMeta = metav1.ListMeta{ResourceVersion: m.GetResourceVersion(), Continue: m.GetContinue(), RemainingItemCount: m.GetRemainingItemCount()}
		}
	} else if x, ok := obj.(events.Object); ok {
		found = []events.Object{x}
		out.ResourceVersion = x.GetResourceVersion()
	}
	t := print(found)
	if asked, ok := opts.(*metav1.TableOptions); !ok || !asked.NoHeaders {
		out.ColumnDefinitions = columns(t)
	}
	out.Rows = make([]metav1.TableRow, 0, len(found))
	for i, r := range t.Rows {
		row := metav1.TableRow{Object: runtime.RawExtension{Object: found[i]}}
		for _, c := range r.Cells {
			row.Cells = append(row.Cells, c)
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// columns says what the cells are. Wide ones are of lesser priority.
func columns(t table.Table) []metav1.TableColumnDefinition {
	var out []metav1.TableColumnDefinition
	for _, c := range t.Columns {
		d := metav1.TableColumnDefinition{Name: titled(c.Name), Type: "string"}
		if c.Name == "NAME" {
			d.Format = "name"
		}
		if c.Wide {
			d.Priority = 1
		}
		out = append(out, d)
	}
	return out
}

// titled is a column's name as Kubernetes writes it; clients print it upper case.
func titled(name string) string {
	words := strings.Fields(strings.ToLower(name))
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.NewReplacer("Ip", "IP", "-ip", "-IP").Replace(strings.Join(words, " "))
}
