// Command shim is the process that stays with a pod: containerd's task service for runc, for all containers of the pod,
// and beside it a sandbox service without a pause process.
//
// It is a program of its own because containerd executes it for each pod and Stave's main binary takes three times as
// long to reach its main function. It outlives the agent: what it holds in memory (exit codes, FIFO ends) is what a
// restarted agent finds.
package main

import (
	"context"
	"os"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// name is what the shim tells containerd; runc's options are decoded by it.
const name = "io.containerd.runc.v2"

func main() {
	if len(os.Args) > 1 && os.Args[1] == pausing {
		pause()
	}
	pod := newPod()
	register("task", func(ic *plugin.InitContext, sd shutdown.Service) (any, error) {
		p, err := ic.GetByID(plugins.EventPlugin, "publisher")
		if err != nil {
			return nil, err
		}
		inner, err := task.NewTaskService(ic.Context, p.(shim.Publisher), sd)
		if err != nil {
			return nil, err
		}
		return newTasks(inner, pod), nil
	})
	register("sandbox", func(_ *plugin.InitContext, sd shutdown.Service) (any, error) {
		pod.exit = sd.Shutdown
		return pod, nil
	})
	shim.RunShim(context.Background(), manager.NewShimManager(name))
}

// register adds a ttrpc service to the plugins that RunShim initialises.
func register(id string, build func(*plugin.InitContext, shutdown.Service) (any, error)) {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       id,
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			sd, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return build(ic, sd.(shutdown.Service))
		},
	})
}
