// Package containerd runs containers: it embeds containerd (or talks to the host's), keeps one shim per pod, reads the
// containers' output into CRI-format files and reports how each of them ended.
//
// The shape follows from what must survive. The agent may be killed at any moment: containers belong to their pod's
// shim, not to this process, and everything needed to find them again lies in containerd's store, in the labels of the
// containers and below State. So the sequence of an agent is Open, Adopt, then whatever its plan says:
//
//	r, err := containerd.Open(ctx, containerd.Options{...})
//	err = r.Adopt(ctx)                    // FIFOs read on, exits that nobody saw are delivered
//	for exit := range r.Exits() { ... }   // closed by Close
//
// What it takes and gives are node/runtime's types, which the agent shares; their names stand here without the package.
//
//	(r *Runtime) Close() error                                            // containers run on
//	(r *Runtime) Purge(ctx) error                                         // nothing of this cluster is left
//	(r *Runtime) Pull(ctx, ref, func(PullProgress)) (Image, error)        // *PullError
//	(r *Runtime) Lookup(ctx, ref) (Image, bool, error)
//	(r *Runtime) Import(ctx, io.Reader) ([]Image, error)
//	(r *Runtime) EnsureSandbox(ctx, SandboxSpec) (Sandbox, error)         // idempotent; wires the network beside
//	(r *Runtime) RemoveSandbox(ctx, podUID) error                         // idempotent; its containers go first
//	(r *Runtime) Create(ctx, ContainerSpec) (id string, err error)        // idempotent; *CreateError
//	(r *Runtime) Start(ctx, id) (pid int, err error)                      // *StartError
//	(r *Runtime) Stop(ctx, id, grace, signal) error                       // returns when it has ended
//	(r *Runtime) Remove(ctx, id) error                                    // idempotent
//	(r *Runtime) List(ctx) ([]ContainerState, error)
//	(r *Runtime) ListSandboxes(ctx) ([]SandboxState, error)
//	(r *Runtime) Exec(ctx, id, ExecSpec, Streams) (code int, err error)   // *StartError
//	(r *Runtime) Attach(ctx, id, Streams) error
//	(r *Runtime) Update(ctx, id, Resources, labels) error
//	(r *Runtime) Stats(ctx, id) (Stats, error)
package containerd
