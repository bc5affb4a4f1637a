package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/gateway/webhook"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/run"
)

// openChain makes whom both doors and the controllers ask about changes. Connections to webhooks that
// run in pods end with the server.
func (c *cluster) openChain(ctx context.Context, _ *upCmd, _ func(string, ...any)) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.onClose(func() error { cancel(); return nil })
	dial := func(_ context.Context, pod events.Key, port uint16) (net.Conn, error) {
		return c.dialPod(ctx, pod, port)
	}
	var err error
	if c.converter, err = webhook.NewConversions(c.view.Durable, dial); err != nil {
		return err
	}
	c.asked, err = webhook.New(webhook.Options{View: c.view.Durable, Logger: c.logger, Policies: &policies, Schemas: &c.rules, Dial: dial})
	if err != nil {
		return err
	}
	c.births = webhook.NewBirths(c.asked, c.born)
	c.onClose(c.births.Close)
	return nil
}

// born has the writer decide what webhooks said of what a controller wants to make.
func (c *cluster) born(ctx context.Context, by reconcilers.Reconciler, of events.Key, a birth.Answer) error {
	message := ""
	if a.Object != nil {
		message = "changed by admission" // which is what people look for who did not write what they find
	}
	_, err := c.loop.Submit(ctx, run.Request{Actor: events.Controller(by.Name()), ID: "answer/" + rand.Text(), Key: of, Message: message,
		Decide: func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
			return birth.Answered(by, v, of, a, now), nil
		}})
	return err
}

// dialPod connects to a port of a pod by way of its node's agent.
func (c *cluster) dialPod(ctx context.Context, k events.Key, port uint16) (net.Conn, error) {
	o, _ := c.view.Durable().Object(k, time.Now())
	pod, ok := o.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" {
		return nil, fmt.Errorf("connect to %s: it is not there, or on no node", k)
	}
	stream, err := c.server.Wires().Dial(ctx, wire.NodeSubject(jetstream.WiresUser, pod.Spec.NodeName, wire.NodeForward),
		events.MustBody(wire.ForwardRequest{Namespace: k.Namespace, Pod: k.Name, UID: events.UID(pod.UID), Port: port}))
	if err != nil {
		return nil, fmt.Errorf("reach node %s: %w", pod.Spec.NodeName, err)
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if err := carry(ctx, stream, far); err != nil {
			c.logger.Debug("connection to a webhook's pod ended", "pod", k.String(), "port", port, "error", err)
		}
	}()
	return near, nil
}

// policies are asked at both doors and about what reconcilers make: each is compiled once.
var policies policy.Engine

// guards are the policies and webhooks of a state that stand before what a kind's controller makes.
func guards(v projections.State, of events.Resource) birth.Guard {
	return birth.Guard{Bars: policies.Guard(v, of), Asks: webhook.Outside(v, of)}
}
