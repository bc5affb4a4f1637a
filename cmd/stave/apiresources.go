package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/table"
)

// apiResourcesCmd is `stave api-resources`: the kinds of this release, and those of
// the cluster's definitions when there is a cluster.
type apiResourcesCmd struct {
	Namespaced *bool   `help:"Only those in namespaces, or (=false) only the others."`
	Group      *string `name:"api-group" help:"Only those of this group." placeholder:"GROUP"`
	NoHeaders  bool    `help:"Print no header line."`
	Output     format  `short:"o" help:"wide or name." placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (apiResourcesCmd) Help() string {
	return `Examples:
  stave api-resources
  stave api-resources --namespaced=false -o name`
}

// Run lists the kinds.
func (c *apiResourcesCmd) Run(s *session) error {
	t := table.Table{Columns: []table.Column{{Name: "NAME"}, {Name: "SHORTNAMES"}, {Name: "APIVERSION"}, {Name: "NAMESPACED"}, {Name: "KIND"}, {Name: "VERBS", Wide: true}, {Name: "CATEGORIES", Wide: true}}}
	switch c.Output {
	case formatTable, formatWide, formatName:
	default:
		return errors.New("--output must be one of wide or name")
	}
	catalogue, err := known.all()
	if err != nil {
		fmt.Fprintf(s.err, "Warning: these are the kinds of this release; no cluster tells of others: %v\n", err)
	}
	kinds := catalogue.All()
	slices.SortFunc(kinds, func(a, b events.Kind) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Plural(), b.Plural()))
	})
	for _, k := range kinds {
		if c.Namespaced != nil && *c.Namespaced != k.Namespaced || c.Group != nil && *c.Group != k.Group {
			continue
		}
		if c.Output == formatName {
			fmt.Fprintln(s.out, k.Resource)
			continue
		}
		const verbs = "create,delete,get,list,patch,update,watch"
		category := ""
		if slices.Contains(allKinds, k.Resource) {
			category = "all"
		}
		if k.Custom() {
			category = strings.Join(known.reply.Categories(k), ",")
		}
		t.Rows = append(t.Rows, table.Row{Cells: []string{k.Plural(), strings.Join(k.Short, ","), k.APIVersion(), fmt.Sprint(k.Namespaced), k.Name, verbs, category}})
	}
	fmt.Fprint(s.out, table.Print(t, table.Options{Wide: c.Output == formatWide, NoHeaders: c.NoHeaders}))
	return nil
}
