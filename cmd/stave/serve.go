package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/dataplane/dns"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/vault"
	"github.com/stave-run/stave/gateway/webhook"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/account"
	"github.com/stave-run/stave/reconcilers/autoscale"
	"github.com/stave-run/stave/reconcilers/certificate"
	"github.com/stave-run/stave/reconcilers/copies"
	"github.com/stave-run/stave/reconcilers/cronjob"
	"github.com/stave-run/stave/reconcilers/daemonset"
	"github.com/stave-run/stave/reconcilers/definition"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/job"
	"github.com/stave-run/stave/reconcilers/migration"
	"github.com/stave-run/stave/reconcilers/namespace"
	"github.com/stave-run/stave/reconcilers/nodelife"
	"github.com/stave-run/stave/reconcilers/podgc"
	"github.com/stave-run/stave/reconcilers/quota"
	"github.com/stave-run/stave/reconcilers/replicaset"
	"github.com/stave-run/stave/reconcilers/resize"
	"github.com/stave-run/stave/reconcilers/run"
	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/statefulset"
	"github.com/stave-run/stave/reconcilers/volume"
)

// controllers are the reconcilers of a cluster.
var controllers = []reconcilers.Reconciler{
	deployment.Reconciler{Guards: guards}, replicaset.Reconciler{Guards: guards}, statefulset.Reconciler{Guards: guards},
	daemonset.Reconciler{Guards: guards}, job.Reconciler{Guards: guards}, cronjob.Reconciler{Guards: guards}, schedule.Reconciler{},
	nodelife.Reconciler{}, gc.Reconciler{}, podgc.Reconciler{}, namespace.Reconciler{}, definition.Reconciler{}, certificate.Reconciler{}, copies.Reconciler{}, account.Reconciler{}, volume.Reconciler{},
	resize.Reconciler{}, quota.Reconciler{}, migration.Reconciler{}, autoscale.Reconciler{},
}

// cluster is a running cluster: the control plane and this machine's node. Its
// rooms are closed in the reverse of the order in which they were opened.
type cluster struct {
	*rooms
	layout    layout
	server    *jetstream.Server
	view      *follow.Follower
	past      *follow.Checkpoints
	loop      *run.Loop
	door      *api.Server
	vault     *vault.Vault
	rules     custom.Schemas       // of definitions
	tokens    *badge.Keys          // for pods
	asked     *webhook.Chain       // about what clients want
	births    *webhook.Births      // and about what controllers do
	converter *webhook.Conversions // between versions of definitions
	kube      kubeDoor
	name      string               // of this machine's node
	agent     jetstream.Credential // of its agent
	member    *member              // this process as a node; nil when the nodes are others
	fleet     fleet                // those with network namespaces of their own
	chosen    *os.File             // held while a new cluster chooses its networks

	recalled *dns.Server // answers names until the node does; nil when there was none
}

// start takes a cluster up: the log, the fold, the writer, the door, the node.
func start(ctx context.Context, l layout, up *upCmd, kubeconfig string, say func(string, ...any)) (*cluster, error) {
	c := &cluster{layout: l, rooms: newRooms(slog.New(slog.NewTextHandler(os.Stderr, nil)).With("cluster", l.name))}
	for _, step := range []func(context.Context, *upCmd, func(string, ...any)) error{
		c.takeLock, c.gather, c.recall, c.openLog, c.fold, c.openChain, c.decide, c.bootstrap, c.openVault, c.openTokens, c.openDoor, c.openKube, c.feed, c.clean, c.startNode, c.startHollow,
	} {
		if err := step(ctx, up, say); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	path, err := writeDoor(kubeconfig, l.name, c.kube, door{Address: c.server.Address(), Credential: jetstream.CredentialPath(l.credentials(), personName)})
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	say("kubeconfig %s", path)
	return c, nil
}

// stop closes what is open. Containers and connections go on.
func (c *cluster) stop() error {
	defer c.chose()
	if c.member != nil {
		return c.member.stop()
	}
	return c.close()
}

func (c *cluster) takeLock(context.Context, *upCmd, func(string, ...any)) error {
	lock, err := c.layout.lock()
	if err != nil {
		return err
	}
	c.onClose(lock.Close)
	return c.layout.make() // again: a `down` that held the lock until now has removed it
}

func (c *cluster) openLog(ctx context.Context, up *upCmd, say func(string, ...any)) error {
	credentials, err := c.credentials(up)
	if err != nil {
		return err
	}
	s, err := jetstream.Open(ctx, jetstream.Options{Dir: c.layout.log(), Name: c.layout.name, Listen: up.Listen, Credentials: credentials,
		Progress: func(line string) { say("%s", line) }, Warn: func(line string) { c.logger.Warn("nats", "says", line) }, OnFatal: c.die})
	if err != nil {
		return damaged(fmt.Errorf("open log: %w", err), c.layout)
	}
	c.server = s
	c.onClose(s.Close)
	b, err := s.Log().Bounds(ctx)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if err := c.listen(ctx); err != nil {
		return err
	}
	say("log open: %d events, listening on %s", b.Last+1-b.First, s.Address())
	return nil
}

// damaged says what can be done about a log that is not what was written.
func damaged(err error, l layout) error {
	var d *jetstream.DamageError
	if !errors.As(err, &d) {
		return err
	}
	p, bad := openParts(l.log())
	if bad != nil {
		return errors.Join(err, bad)
	}
	_, last := p.segments.Bounds()
	flags := nameFlag(l.name)
	if l.data != filepath.Join(dataDir, l.name) {
		flags += " --data-dir " + l.data
	}
	return helped{err, fmt.Sprintf(`nothing is written to it. What is sealed there reaches to %d; this makes a log of that, and keys, volumes and containers stay as they are:
  mv %s %[2]s.damaged
  stave log restore %[2]s.damaged%s
  or, if it reaches further, the directory of an archive instead of %[2]s.damaged`, last, l.log(), flags)}
}

// credentials are those of everybody whom the cluster knows: the person, and
// the nodes.
func (c *cluster) credentials(up *upCmd) ([]jetstream.Credential, error) {
	var err error
	if c.name, err = nodeName(up.NodeName); err != nil {
		return nil, err
	}
	if _, err = jetstream.LoadOrCreate(c.layout.credentials(), personName); err != nil {
		return nil, err
	}
	if len(c.fleet.Nodes) == 0 {
		if c.agent, err = jetstream.LoadOrCreateNode(c.layout.credentials(), c.name); err != nil {
			return nil, err
		}
	}
	return jetstream.LoadAll(c.layout.credentials())
}

// personName is the user that `up` makes; whoever can read its credential is it.
const personName = "admin"

// die ends the process at once: what was acknowledged may not be on disk.
func (c *cluster) die(err error) {
	c.logger.Error("the log cannot be kept; ending at once", "err", err)
	os.Exit(exitFailed)
}

func (c *cluster) fold(ctx context.Context, _ *upCmd, say func(string, ...any)) error {
	// Until everything is in memory there is little that could be given back.
	defer debug.SetGCPercent(debug.SetGCPercent(foldingGC))
	last := time.Now()
	kept, err := follow.OpenCheckpoints(c.layout.checkpoints())
	if err != nil {
		return err
	}
	c.past = kept
	f, err := follow.Open(ctx, c.server.Log(), follow.Options{Checkpoints: kept, Say: func(line string) { say("%s", line) }, Progress: func(done, of events.Seq) {
		if time.Since(last) > time.Second {
			last = time.Now()
			say("folding: %d of %d events", done, of)
		}
	}})
	if err != nil {
		return fmt.Errorf("fold log: %w", err)
	}
	c.view = f
	c.onClose(func() error { f.Close(); return c.sealed() })
	b, err := c.server.Log().Bounds(ctx)
	if err != nil {
		return fmt.Errorf("fold log: %w", err)
	}
	if bad := kept.CheckOrigins(b.First); bad != nil {
		say("%v", bad)
		say("'stave log verify%s' tells what is damaged", nameFlag(c.layout.name))
	}
	return nil
}

// foldingGC is the garbage collector's percentage while the log is folded: four
// times as much memory may be in use as is needed, for a moment.
const foldingGC = 300

// sealed leaves nothing unsealed behind: an archive of a cluster that is down is
// whole.
func (c *cluster) sealed() error {
	ctx, cancel := context.WithTimeout(context.Background(), sealTimeout)
	defer cancel()
	if _, err := c.server.Log().Seal(ctx); err != nil {
		c.logger.Warn("seal the log at its end", "err", err) // it stays in the stream
	}
	return nil
}

// sealTimeout bounds the sealing at the end.
const sealTimeout = 10 * time.Second

// seal has everything sealed that is durable, behind a checkpoint.
func (c *cluster) seal(ctx context.Context) (sealed, checkpoint events.Seq, err error) {
	checkpoint = c.view.Checkpoint()
	sealed, err = c.server.Log().Seal(ctx)
	return sealed, checkpoint, err
}

func (c *cluster) decide(_ context.Context, up *upCmd, _ func(string, ...any)) error {
	loop, err := run.NewLoop(run.Config{Cluster: c.layout.name, Holder: holder(), Log: c.server.Log(), Source: c.view,
		Clock: run.Wall{}, Room: c.server.Log().Room, Reconcilers: controllers, Wished: c.births.Wished, Logger: c.logger, NodeGrace: up.NodeGrace})
	if err != nil {
		return fmt.Errorf("make the writer: %w", err)
	}
	c.loop = loop
	c.background("decide", loop.Run)
	c.background("observe", func(ctx context.Context) error { return loop.Observe(ctx, c.server.Wires()) })
	return nil
}

// holder names this process in the lease.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%d", host, os.Getpid(), time.Now().Unix())
}

// bootstrap makes what a new cluster begins with; on an old one nothing follows.
func (c *cluster) bootstrap(ctx context.Context, up *upCmd, say func(string, ...any)) error {
	settings, err := c.settings(ctx, up, say)
	if err != nil {
		return err
	}
	made, err := c.loop.Submit(ctx, run.Request{Actor: events.Controller("bootstrap"), ID: "bootstrap", Key: projections.ClusterKey, Message: "cluster bootstrap",
		Decide: func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
			return admit.Bootstrap(v, settings), nil
		}})
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	if len(made) == 0 {
		return nil
	}
	say("new cluster: pods %s, services %s", settings.PodCIDR, settings.ServiceCIDR)
	_, err = c.view.WaitDurable(ctx, made[len(made)-1].Seq)
	return err
}

func (c *cluster) openDoor(ctx context.Context, _ *upCmd, _ func(string, ...any)) error {
	d, err := api.Serve(api.Options{Wires: c.server.Wires(), Log: c.server.Log(), Views: c.view, Past: c.past, Seal: c.seal, Writer: writer{c.loop}, Guests: c, Explain: schedule.Explain, Vault: c.vault, Rules: &c.rules, Converter: c.converter, Tokens: c.tokens, Fork: c.fork,
		Cluster: c.layout.name, Version: version, Address: c.server.Address(), Now: c.loop.Now, Held: c.held, Reviewer: c.asked})
	if err != nil {
		return fmt.Errorf("open the door: %w", err)
	}
	c.door = d
	c.onClose(func() error { d.Close(); return nil })
	return nil
}

// writer is the loop as the door knows it.
type writer struct{ *run.Loop }

// Submit implements api.Writer.
func (w writer) Submit(ctx context.Context, wish api.Wish) ([]events.Envelope, error) {
	return w.Loop.Submit(ctx, run.Request{Actor: wish.Actor, ID: wish.ID, Key: wish.Key, Message: wish.Message, Change: wish.Change,
		Together: wish.Together, Decide: wish.Decide})
}

func (c *cluster) feed(context.Context, *upCmd, func(string, ...any)) error {
	f := &follow.Feed{Wires: c.server.Wires(), Source: c.view, Holds: func() bool { return true }, Logger: c.logger}
	c.background("feed", f.Run)
	c.pace()
	return nil
}
