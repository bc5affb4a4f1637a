package main

import (
	"context"
	"fmt"

	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// authCmd is `stave auth`.
type authCmd struct {
	Whoami whoamiCmd `cmd:"" help:"Print the user whose credential is used."`
}

// whoamiCmd is `stave auth whoami`.
type whoamiCmd struct{}

// Help implements kong's detailed help.
func (whoamiCmd) Help() string {
	return `Examples:
  stave auth whoami`
}

// Run asks the server for something, so that the answer is one that it vouches for.
func (whoamiCmd) Run(ctx context.Context, s *session) error {
	if _, err := ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{}); err != nil {
		return err
	}
	fmt.Fprint(s.out, table.Print(table.Table{Columns: []table.Column{{Name: "ATTRIBUTE"}, {Name: "VALUE"}},
		Rows: []table.Row{{Cells: []string{"Username", s.user}}}}, table.Options{}))
	return nil
}
