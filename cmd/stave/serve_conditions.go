package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/stave-run/stave/dataplane/claim"
	"github.com/stave-run/stave/dataplane/leftover"
	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/events"
)

// servicesCondition says which services the node's tables do not hold.
func servicesCondition(r plan.Refusals) events.NodeCondition {
	c := events.NodeCondition{Type: events.ConditionServices, Reason: "ServicesProgrammed", Message: "every service is in the node's tables"}
	if len(r) == 0 {
		return c
	}
	c.Status, c.Reason = true, "FrontendTaken"
	if errors.Is(r, plan.ErrFull) {
		c.Reason = "TablesFull"
	}
	if errors.As(r, new(*claim.TakenError)) {
		c.Reason = "PortTaken"
	}
	all := make([]events.Unprogrammed, len(r))
	for i, x := range r {
		all[i] = events.Unprogrammed{Service: x.Key, Why: x.Err.Error()}
	}
	c.Message = events.UnprogrammedMessage(all)
	return c
}

// proxyCondition says what another service proxy has left.
func proxyCondition(found []leftover.Finding) events.NodeCondition {
	c := events.NodeCondition{Type: events.ConditionForeignProxy, Reason: "NoForeignRules", Message: "no other service proxy has rules here"}
	if len(found) == 0 {
		return c
	}
	var words []string
	for _, f := range found {
		words = append(words, f.String())
	}
	c.Status, c.Reason, c.Message = true, "ForeignRules", strings.Join(words, "; ")
	return c
}

// proxiesEvery is how often the rules of another proxy are looked for until they are gone.
const proxiesEvery = 5 * time.Second

// watchProxies tells of another proxy's rules: at the start, and when they are gone.
func (n *member) watchProxies(ctx context.Context, w *network) {
	found := n.lookForProxies(w)
	for _, f := range found {
		n.say("warning: %s", f)
	}
	if len(found) == 0 {
		return
	}
	go func() {
		for len(found) > 0 && ctx.Err() == nil {
			sleep(ctx, proxiesEvery)
			found = n.lookForProxies(w)
		}
	}()
}

func (n *member) lookForProxies(w *network) []leftover.Finding {
	cgroup, err := w.tables.Cgroup()
	found, lookErr := leftover.Find(cgroup)
	if err = errors.Join(err, lookErr); err != nil {
		n.logger.Warn("looking for rules of another service proxy", "err", err)
	}
	if err == nil || len(found) > 0 { // else nobody knows
		n.agent.Judge(proxyCondition(found))
	}
	return found
}

// placed is a change's error, unless it is only that some services have no place: the node
// says so in its conditions, and tries again.
func placed(err error) error {
	if errors.As(err, new(plan.Refusals)) {
		return nil
	}
	return err
}
