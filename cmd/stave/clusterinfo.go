package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stave-run/stave/gateway/wire"
)

// clusterInfoCmd is `stave cluster-info`.
type clusterInfoCmd struct {
	Output format `short:"o" help:"json or yaml." placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (clusterInfoCmd) Help() string {
	return `Examples:
  stave cluster-info
  stave cluster-info -o json`
}

// Run prints where the cluster answers and how far its log is.
func (c *clusterInfoCmd) Run(ctx context.Context, s *session) error {
	r, err := ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{})
	if err != nil {
		return err
	}
	if c.Output != formatTable {
		doc, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode reply: %w", err)
		}
		return s.printDocument(c.Output, doc)
	}
	fmt.Fprintf(s.out, "Stave control plane is running at %s\n", r.Address)
	fmt.Fprintf(s.out, "Cluster DNS answers at %s\n", r.DNS)
	fmt.Fprintf(s.out, "Cluster %s: %d of %d nodes ready, log at sequence %d, durable to %d, epoch %d\n", r.Name, r.Ready, r.Nodes, r.Seq, r.Durable, r.Epoch)
	if r.Horizon != nil {
		fmt.Fprintf(s.out, "History begins at %d (%s)\n", r.Horizon.First, r.Horizon.Time.UTC().Format(time.RFC3339))
	}
	return nil
}
