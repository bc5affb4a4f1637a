package api_test

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// Certificates of pods are asked for by the agent of the pod's node, and by nobody else: not by people, whatever they may do
// otherwise, and not by another node.
func TestWhoAsksForCertificatesOfPods(t *testing.T) {
	h := open(t)
	for _, c := range []struct{ user, node, want string }{
		{"ann", "n1", `user "ann" may not ask for it`},
		{events.NodeUser("n2"), "n1", `does not speak for node "n1"`},
		{events.NodeUser("n1"), "n1", "it is no pod of node n1"},
	} {
		var reply wire.CertifyReply
		h.ask(c.user, wire.VerbCertify, wire.CertifyRequest{Node: c.node, Volume: "v", Pod: events.Ref{Key: events.Key{Resource: events.Pods, Namespace: "default", Name: "p"}, UID: "1"}}, &reply)
		if reply.Error == nil || !strings.Contains(reply.Error.Message, c.want) || reply.Name != "" {
			t.Errorf("%s for %s: %+v, want %s", c.user, c.node, reply, c.want)
		}
	}
	end := h.end()
	var reply wire.CertifyReply
	h.ask(events.NodeUser("n1"), wire.VerbCertify, wire.CertifyRequest{Node: "n1"}, &reply)
	if h.end() != end {
		t.Error("a refusal is in the log")
	}
}
