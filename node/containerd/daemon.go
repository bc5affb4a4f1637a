package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/containerd/server"
	serverconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// maxSocketDir is containerd's bound on the length of the directory of the shims' sockets.
const maxSocketDir = 42

// boltTimeout is how long to wait for the database while an agent that was told to stop still holds it.
const boltTimeout = "15s"

// loadTimeout is how long a shim may take to answer a containerd that starts, which kills the containers of one that does
// not: a machine that is merely busy must not look like a dead shim.
const loadTimeout = "30s"

// starting serialises servers that start in one process: containerd's timeouts and plugin registry are the process's.
var starting sync.Mutex

// captureKey finds, in the context of server.New, where the capture plugin leaves the services.
type captureKey struct{}

// capture is the last plugin: it lets a client call the services that were loaded before it without a socket.
func init() {
	registry.Register(&plugin.Registration{
		Type: plugins.InternalPlugin,
		ID:   "stave-capture",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.LeasePlugin, plugins.SandboxStorePlugin,
			plugins.TransferPlugin, plugins.MountManagerPlugin, plugins.ServicePlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			slot, ok := ic.Context.Value(captureKey{}).(**plugin.InitContext)
			if !ok {
				return nil, errors.New("not started by this package")
			}
			*slot = ic
			return slot, nil
		},
	})
}

// daemon is a containerd inside this process.
type daemon struct {
	server *server.Server
	client *client.Client
	cancel context.CancelFunc
}

// embed starts containerd on root and state.
func embed(root, state string) (*daemon, error) {
	starting.Lock()
	defer starting.Unlock()
	cfg, err := daemonConfig(root, state)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{cancel: cancel}
	var services *plugin.InitContext
	d.server, err = server.New(context.WithValue(ctx, captureKey{}, &services), cfg)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("load containerd: %w", err)
	}
	if err := d.server.Start(ctx); err != nil {
		d.stop()
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	d.server.Wait()
	// The socket is for what the in-memory client has no services for (the sandbox controller), and for `ctr`.
	d.client, err = client.New(socketPath(state), client.WithInMemoryServices(services))
	if err != nil {
		d.stop()
		return nil, fmt.Errorf("connect to embedded containerd: %w", err)
	}
	// One that is stopped before it began to serve takes that for a failure, and ends the process.
	if err := answers(d.client, answerTime); err != nil {
		d.stop()
		return nil, fmt.Errorf("wait for embedded containerd: %w", err)
	}
	return d, nil
}

// answerTime is how long an embedded containerd may take until it answers on its socket; on a machine that has nothing else
// to do it takes a millisecond.
const answerTime = time.Minute

// answers waits until a containerd speaks to its clients.
func answers(c *client.Client, limit time.Duration) error {
	conn, ok := c.Conn().(*grpc.ClientConn)
	if !ok {
		return fmt.Errorf("its connection is a %T", c.Conn())
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn.Connect()
	for s := conn.GetState(); s != connectivity.Ready; s = conn.GetState() {
		if !conn.WaitForStateChange(ctx, s) {
			return fmt.Errorf("it is %s: %w", s, ctx.Err())
		}
	}
	return nil
}

// stop closes databases and sockets; shims and containers are other processes and stay.
func (d *daemon) stop() {
	if d.client != nil {
		d.client.Close()
	}
	d.server.Stop()
	d.cancel()
}

func daemonConfig(root, state string) (*serverconfig.Config, error) {
	sockets := filepath.Join(state, "s")
	if len(sockets) > maxSocketDir {
		return nil, fmt.Errorf("state directory %s is too long: sockets below it allow %d bytes", state, maxSocketDir-len("/s"))
	}
	cfg := &serverconfig.Config{
		Version: version.ConfigVersion,
		Root:    root,
		State:   state,
		// A plugin that fails is otherwise a line in the log, and its absence a riddle later.
		RequiredPlugins: []string{
			"io.containerd.metadata.v1.bolt",
			"io.containerd.snapshotter.v1.overlayfs",
			"io.containerd.runtime.v2.task",
			"io.containerd.sandbox.controller.v1.shim",
			"io.containerd.internal.v1.stave-capture",
		},
		// Its collectors belong to the process, and a second server of the process would register them again.
		DisabledPlugins: []string{"io.containerd.metrics.v1.grpc-prometheus"},
		Timeouts:        map[string]string{"io.containerd.timeout.bolt.open": boltTimeout, "io.containerd.timeout.shim.load": loadTimeout},
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc":  map[string]any{"address": socketPath(state)},
			"io.containerd.server.v1.ttrpc": map[string]any{"address": socketPath(state) + ".ttrpc"},
			"io.containerd.shim.v1.manager": map[string]any{"socket_dir": sockets},
		},
	}
	if err := server.CreateTopLevelDirectories(cfg); err != nil {
		return nil, fmt.Errorf("make containerd's directories: %w", err)
	}
	return cfg, nil
}

func socketPath(state string) string { return filepath.Join(state, "containerd.sock") }

// oldestOutside is the first major version of a containerd somebody else runs that has what we use: sandboxes.
const oldestOutside = 2

// dial connects to a containerd that somebody else runs.
func dial(ctx context.Context, address string, log *slog.Logger) (*client.Client, error) {
	if _, err := os.Stat(address); err != nil {
		return nil, fmt.Errorf("find containerd's socket: %w", err)
	}
	c, err := client.New(address)
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", address, err)
	}
	v, err := c.Version(ctx)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("ask containerd at %s: %w", address, err)
	}
	var major int
	if n, _ := fmt.Sscanf(v.Version, "v%d.", &major); n == 0 {
		_, _ = fmt.Sscanf(v.Version, "%d.", &major)
	}
	// A development build says no number that can be compared; it is believed to be new.
	if major > 0 && major < oldestOutside {
		c.Close()
		return nil, fmt.Errorf("containerd at %s is %s, and pods need %d.0 or newer: leave the address out to use the embedded one", address, v.Version, oldestOutside)
	}
	log.Info("using an outside containerd", "address", address, "version", v.Version)
	return c, nil
}
