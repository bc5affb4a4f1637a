package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// realNode is the name of the one node that runs anything beside pretended ones.
const realNode = "conformance"

// notHere keeps pods off the real node; the suite does not wait for nodes with this taint.
const notHere = "node-role.kubernetes.io/control-plane=:NoSchedule"

// cluster is one that nobody else knows.
type cluster struct {
	stave         string
	tools         *tools
	nodes, hollow int

	name, dir, kubeconfig string
}

// up starts it. Whatever went wrong, down takes away what came into being.
func (c *cluster) up(ctx context.Context, hosts string) (err error) {
	if c.dir, err = os.MkdirTemp("", "stave.conformance-"); err != nil {
		return fmt.Errorf("make folder of the cluster: %w", err)
	}
	c.name = "conformance-" + strconv.Itoa(os.Getpid())
	c.kubeconfig = filepath.Join(c.dir, "kubeconfig")
	args := append(c.which("up"), "--detach", "--registry-hosts", hosts)
	if c.hollow > 0 {
		args = append(args, "--hollow", strconv.Itoa(c.hollow), "--node-name", realNode)
	} else {
		args = append(args, "--nodes", strconv.Itoa(c.nodes))
	}
	say("starting cluster %s", c.name)
	if _, err := output(ctx, c.stave, args...); err != nil {
		return err
	}
	if c.hollow > 0 {
		_, err = output(ctx, c.tools.path("kubectl"), "--kubeconfig", c.kubeconfig, "taint", "node", realNode, notHere)
	}
	return err
}

// which names the cluster to a verb of stave.
func (c *cluster) which(verb string) []string {
	return []string{verb, "--name", c.name, "--data-dir", filepath.Join(c.dir, "data"), "--kubeconfig", c.kubeconfig}
}

// schedulable is how many nodes take pods.
func (c *cluster) schedulable() int {
	if c.hollow > 0 {
		return c.hollow
	}
	return c.nodes
}

// down takes it off the machine, also after Ctrl-C.
func (c *cluster) down() error {
	if c.name == "" {
		return nil
	}
	say("taking cluster %s away", c.name)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	_, err := output(ctx, c.stave, append(c.which("down"), "--purge")...)
	if err != nil {
		return fmt.Errorf("%w\nthe cluster's data is in %s", err, c.dir)
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
