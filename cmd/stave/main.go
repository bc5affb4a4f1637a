// Command stave is the whole of Stave in one binary: the CLI, the control plane
// and the node agent. One file a verb; what the verbs share is in the files
// named after it; serve*.go wire the rooms of a cluster together.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/stave-run/stave/cmd/stave/pause" // the collector's, until the first cycle
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who presses Ctrl-C twice does not want to wait
	code := command(ctx, os.Args[1:], stdTerminal())
	stop()
	os.Exit(code)
}
