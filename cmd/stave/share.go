package main

import (
	"context"
	"maps"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/node"
)

// shareEvery is how often a node looks how many share its machine.
const shareEvery = 5 * time.Second

// siblings counts the nodes that `up --nodes` has made beside this one, with it.
// One that was joined by hand has the machine for itself, as far as anybody knows.
func (n *member) siblings() int {
	if n.outside == "" {
		return 1
	}
	f, err := layout{data: filepath.Dir(filepath.Dir(n.layout.data))}.fleet()
	if err != nil {
		n.logger.Warn("count the nodes of this machine", "err", err)
	}
	return max(1, len(f.Nodes))
}

// keepShare offers this node's part of the machine while nodes come and go.
func (n *member) keepShare(ctx context.Context) error {
	for now := n.siblings(); ctx.Err() == nil; sleep(ctx, shareEvery) {
		if next := n.siblings(); next != now {
			now = next
			n.agent.Offer(share(node.Capacity(n.bounds.MaxPods), now))
		}
	}
	return nil
}

// share is what one of several nodes on a machine can give to pods. The machine
// has its memory once: were each to offer all of it, pods that asked for what was
// promised would be killed. Time of a processor is given to whoever is there, and
// who asked for more gets more: each node offers all processors, or a pod that
// wants one would find no place on a machine of two with three nodes.
func share(capacity map[string]string, of int) map[string]string {
	out := maps.Clone(capacity)
	memory := string(corev1.ResourceMemory)
	if q, err := resource.ParseQuantity(capacity[memory]); err == nil && of > 1 {
		out[memory] = strconv.FormatInt(q.Value()/int64(of)/1024, 10) + "Ki"
	}
	return out
}
