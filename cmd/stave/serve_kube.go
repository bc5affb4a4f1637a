package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/kube"
	"github.com/stave-run/stave/gateway/kube/authority"
	"github.com/stave-run/stave/gateway/rbac"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// kubeFlags say where the Kubernetes API is served, if it is.
type kubeFlags struct {
	Kube     bool `help:"Serve the Kubernetes HTTP API, for kubectl and its like." negatable:"" default:"true"`
	KubePort int  `help:"Port of the Kubernetes API on loopback; the one it had, 6443 or a free one when 0." default:"0" placeholder:"PORT"`
}

// args are the flags again, for the process of a detached cluster.
func (f kubeFlags) args() []string {
	if !f.Kube {
		return []string{"--no-kube"}
	}
	return []string{"--kube-port=" + strconv.Itoa(f.KubePort)}
}

// kubeDoor is where the Kubernetes API is and who may use it; zero when it is
// not served.
type kubeDoor struct {
	Server    string // https://127.0.0.1:6443
	Authority string // path of the certificate that vouches for the server
	Person    authority.Pair
}

// kubePort is where kubectl looks by itself.
const kubePort = 6443

// openKube serves the Kubernetes API.
func (c *cluster) openKube(ctx context.Context, up *upCmd, say func(string, ...any)) error {
	if !up.Kube {
		return nil
	}
	ca, err := authority.Open(c.layout.credentials(), c.layout.name, time.Now)
	if err != nil {
		return fmt.Errorf("open the cluster's authority: %w", err)
	}
	if _, known := c.view.Durable().Get(projections.RootKey); known && ca.Made {
		say("%s was not there: the Kubernetes API has a new authority, and kubeconfig files elsewhere need its certificate, %s", ca.KeyFile(), ca.File())
	}
	person, err := ca.Person(personName, "system:masters")
	if err != nil {
		return fmt.Errorf("make a certificate for %s: %w", personName, err)
	}
	front, err := authority.FrontProxy(c.layout.credentials(), c.layout.name, time.Now)
	if err != nil {
		return fmt.Errorf("open the authority that vouches for the API to others: %w", err)
	}
	if err := c.publish(ctx, ca, front); err != nil {
		return err
	}
	l, err := c.layout.listenKube(up.KubePort)
	if err != nil {
		return err
	}
	// The libraries of this door say much in klog's form that is of no use here: what may be wrong is said as all else is.
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})).With("cluster", c.layout.name))
	server := kube.New(kube.Options{Views: c.view, Past: c.door, Log: c.server.Log(), Notes: c.server.Notes(), Writer: kubeWriter{c.loop}, Wires: c.server.Wires(), WiresUser: jetstream.WiresUser, Authority: ca, FrontProxy: front, Tokens: c.tokens, Vault: c.vault, Schemas: &c.rules, Converter: c.converter,
		Cluster: c.layout.name, Version: version, Domain: c.view.Durable().Cluster().Domain, Now: c.loop.Now, Logger: c.logger, Held: c.held, Admission: c.asked})
	c.background("kubernetes API", func(context.Context) error { return server.Serve(l) })
	c.onClose(server.Close)
	c.kube = kubeDoor{Server: "https://" + l.Addr().String(), Authority: ca.File(), Person: person}
	say("kubernetes API on %s", c.kube.Server)
	return nil
}

// publish tells the cluster of its API: pods look for it, and for what vouches for it.
func (c *cluster) publish(ctx context.Context, ca, front *authority.CA) error {
	made, err := c.loop.Submit(ctx, run.Request{Actor: events.Controller("bootstrap"), ID: "publish", Key: projections.RootKey, Message: "the Kubernetes API is served",
		Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
			return slices.Concat(admit.Publish(v, ca.Root(), front.Root()), rbac.Bootstrap(v), admit.Classes(v), admit.FirstClass(v), admit.FirstRange(v)), nil
		}})
	if err != nil || len(made) == 0 {
		return err
	}
	_, err = c.view.WaitDurable(ctx, made[len(made)-1].Seq)
	return err
}

// kubeWriter is the loop as the Kubernetes API knows it.
type kubeWriter struct{ *run.Loop }

// Submit implements kube.Writer.
func (w kubeWriter) Submit(ctx context.Context, wish kube.Wish) ([]events.Envelope, error) {
	return w.Loop.Submit(ctx, run.Request{Actor: wish.Actor, ID: wish.ID, Key: wish.Key, Message: wish.Message,
		Together: wish.Together, Decide: wish.Decide})
}

// listenKube listens where the API is wanted, or where it was before, so that
// watches find it again, or where kubectl looks, or anywhere.
func (l layout) listenKube(wanted int) (net.Listener, error) {
	kept := filepath.Join(l.data, "kube.port")
	ports := []int{kubePort, 0}
	if b, err := os.ReadFile(kept); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			ports = append([]int{n}, ports...)
		}
	}
	if wanted != 0 {
		ports = []int{wanted}
	}
	var errs []error
	for _, p := range ports {
		at, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_, port, err := net.SplitHostPort(at.Addr().String())
		if err == nil {
			err = os.WriteFile(kept, []byte(port+"\n"), 0o600)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("keep the Kubernetes API's port: %w", err), at.Close())
		}
		return at, nil
	}
	return nil, fmt.Errorf("listen for the Kubernetes API: %w\nhelp: choose another port with --kube-port, or leave it out with --no-kube", errors.Join(errs...))
}
