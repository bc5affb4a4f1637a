package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/node/shim"
)

// snapshotter is what images are unpacked with.
const snapshotter = "overlayfs"

// exitBuffer lets short-lived containers end while the reader of Exits is busy; beyond it they wait, nothing is dropped.
const exitBuffer = 64

// Runtime is a node's containers. Its methods may be called at the same time; those that name one pod wait for each other
// where they must.
type Runtime struct {
	options Options
	log     *slog.Logger
	client  *client.Client
	daemon  *daemon // nil with a containerd outside
	cgroups cgroups
	shim    string

	exits    chan runtime.Exit
	strained chan string // pods of which the kernel spoke
	// life ends with Close: every goroutine of this package hangs on it.
	life    context.Context
	endLife context.CancelFunc
	running sync.WaitGroup

	pods   keyedMutex
	images keyedMutex

	mu      sync.Mutex
	closed  bool
	watched map[string]*watch
	unmade  map[string]map[string]string // the labels of sandboxes that are being made, by the pod's uid
}

// Options say where a node keeps its containers and which programs it uses.
type Options struct {
	// Root is the directory for what survives a reboot: images, snapshots, containerd's database, the unpacked shim.
	Root string
	// State is the directory for what a reboot may take: sockets, FIFOs, pinned namespaces. Keep it short, Unix
	// socket paths end at 108 bytes: /run/stave/<cluster>.
	State string
	// Cluster names the cgroup /stave-<cluster> and the label on everything made here; two nodes on one machine need
	// two names.
	Cluster string
	// RegistryHosts is a directory in the layout of containerd's certs.d (<host>/hosts.toml); empty means none.
	RegistryHosts string
	// Dial connects to registries; nil dials from here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error) `json:"-"`
	// ContainerdAddress is the socket of a containerd (2.0 or newer) that somebody else runs; empty embeds one.
	ContainerdAddress string
	// Runc is the low-level runtime, a name on PATH or a path; empty means "runc".
	Runc string
	// Shim is the shim's absolute path; empty unpacks the one inside this binary below Root.
	Shim string
	// Log receives what containerd and this package have to say; nil means slog.Default().
	Log *slog.Logger
}

// Open starts (or connects to) containerd and finds out what ended while nobody watched; Adopt continues from there.
func Open(ctx context.Context, o Options) (*Runtime, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Runc == "" {
		o.Runc = "runc"
	}
	r := &Runtime{options: o, log: o.Log, exits: make(chan runtime.Exit, exitBuffer), strained: make(chan string, exitBuffer), watched: map[string]*watch{}, unmade: map[string]map[string]string{}, cgroups: hostCgroups()}
	for _, dir := range []string{o.Root, r.runDir(""), r.podDir(""), r.execDir("")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("open runtime: %w", err)
		}
	}
	if err := errors.Join(r.findShim(), r.placeMounts()); err != nil {
		return nil, fmt.Errorf("open runtime: %w", err)
	}
	forwardLogs(o.Log)
	if err := r.connect(ctx); err != nil {
		return nil, fmt.Errorf("open runtime: %w", err)
	}
	r.life, r.endLife = context.WithCancel(r.in(context.Background()))
	r.hearKernel()
	if err := r.dropOldShims(ctx); err != nil {
		r.log.Warn("remove old shims", "error", err) // they cost their bytes, nothing else
	}
	return r, nil
}

func (r *Runtime) findShim() (err error) {
	r.shim = r.options.Shim
	if r.shim == "" {
		r.shim, err = shim.Unpack(r.shimDir())
	}
	return err
}

// placeMounts has containerd's short mounts (of an image whose users are looked up) below State, and ends those that a killed
// process left. They would be in the directory for temporary files, where nobody looks.
func (r *Runtime) placeMounts() error {
	if err := mount.SetTempMountLocation(filepath.Join(r.options.State, "mounts")); err != nil {
		return fmt.Errorf("make a place for mounts: %w", err)
	}
	left, err := mount.CleanupTempMounts(0)
	if err = errors.Join(append(left, err)...); err != nil {
		return fmt.Errorf("end mounts of before: %w", err)
	}
	return nil
}

func (r *Runtime) connect(ctx context.Context) (err error) {
	if r.options.ContainerdAddress != "" {
		r.client, err = dial(ctx, r.options.ContainerdAddress, r.log)
		return err
	}
	// Before the server starts, because starting it removes what dead shims left.
	r.recordDead()
	if err := r.killHalfStarted(); err != nil {
		return err
	}
	r.daemon, err = embed(filepath.Join(r.options.Root, "containerd"), r.options.State)
	if err != nil {
		return err
	}
	r.client = r.daemon.client
	return nil
}

// Close lets go of everything and closes Exits; containers run on.
func (r *Runtime) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.endLife()
	for _, w := range r.watched {
		w.pump.stop()
	}
	r.mu.Unlock()
	r.running.Wait()
	close(r.exits)
	if r.daemon != nil {
		r.daemon.stop()
		return nil
	}
	return r.client.Close()
}

// Exits delivers how containers ended: each one once after Open and Adopt, and again after the next Open until Remove.
// It is closed by Close.
func (r *Runtime) Exits() <-chan runtime.Exit { return r.exits }

// in names the containerd namespace of this cluster, so that one containerd can serve several.
func (r *Runtime) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, r.namespace())
}

func (r *Runtime) namespace() string { return "stave-" + r.options.Cluster }

// shimDir is where shims are unpacked.
func (r *Runtime) shimDir() string { return filepath.Join(r.options.Root, "bin") }

// runDir is where the FIFOs and marks of a container lie, by its id.
func (r *Runtime) runDir(id string) string { return filepath.Join(r.options.State, "runs", id) }

// podDir is where a pod's namespaces are pinned, by its uid.
func (r *Runtime) podDir(uid string) string { return filepath.Join(r.options.State, "pods", uid) }

// execDir is where the FIFOs of a container's further processes lie.
func (r *Runtime) execDir(id string) string { return filepath.Join(r.options.State, "exec", id) }

// group is the cgroup of everything here, podGroup that of one pod.
func (r *Runtime) group() string              { return "/stave-" + r.options.Cluster }
func (r *Runtime) podGroup(uid string) string { return r.group() + "/pod" + uid }

// runc are the options of every shim and task: which runc, and where it keeps its state.
func (r *Runtime) runc() *runcoptions.Options {
	return &runcoptions.Options{BinaryName: r.options.Runc, Root: filepath.Join(r.options.State, "runc")}
}

// keyedMutex is one mutex for each key in use.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]*keyLock
}

type keyLock struct {
	sync.Mutex
	users int
}

// lock waits for the key and returns what unlocks it.
func (k *keyedMutex) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*keyLock{}
	}
	l := k.held[key]
	if l == nil {
		l = &keyLock{}
		k.held[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.held, key)
		}
	}
}

// ErrClosed is what methods say after Close.
var ErrClosed = errors.New("runtime is closed")
