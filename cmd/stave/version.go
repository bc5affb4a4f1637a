package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/stave-run/stave/gateway/wire"
)

// version is set by the build.
var version = "dev"

// versionCmd is `stave version`.
type versionCmd struct {
	Client bool   `help:"Only the CLI's."`
	Output format `short:"o" help:"json or yaml." placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (versionCmd) Help() string {
	return `Examples:
  stave version
  stave version --client -o json`
}

// Run prints the versions. A server that is down is an error, but the CLI's
// version is printed all the same.
func (c *versionCmd) Run(ctx context.Context, s *session) error {
	out := map[string]map[string]string{"clientVersion": {"version": version, "go": runtime.Version()}}
	var err error
	if !c.Client {
		var r wire.ClusterReply
		if r, err = ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{}); err == nil {
			out["serverVersion"] = map[string]string{"version": r.Version}
		}
	}
	if c.Output != formatTable {
		doc, bad := json.Marshal(out)
		if bad != nil {
			return fmt.Errorf("encode versions: %w", bad)
		}
		if bad := s.printDocument(c.Output, doc); bad != nil {
			return bad
		}
		return err
	}
	fmt.Fprintln(s.out, "Client Version: "+version)
	if v, ok := out["serverVersion"]; ok {
		fmt.Fprintln(s.out, "Server Version: "+v["version"])
	}
	return err
}
