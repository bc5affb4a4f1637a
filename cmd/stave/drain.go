package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// drainCmd is `stave drain`.
type drainCmd struct {
	chosenNodes
	Force              bool          `help:"Also pods that nothing will make again."`
	IgnoreDaemonsets   bool          `help:"Leave the pods of DaemonSets where they are."`
	DeleteEmptydirData bool          `aliases:"delete-local-data" help:"Also pods whose emptyDir is lost with them."`
	GracePeriod        int64         `help:"Seconds that a pod gets to stop; its own when negative." default:"-1" placeholder:"SECONDS"`
	Timeout            time.Duration `help:"How long to wait until the pods are gone; 0 is as long as it takes." default:"0s"`
	PodSelector        string        `help:"Label selector: only these pods." placeholder:"SELECTOR"`
	DisableEviction    bool          `help:"Delete the pods whatever their disruption budgets say."`
	DryRun             dryRun        `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
}

// Help implements kong's detailed help.
func (drainCmd) Help() string {
	return `Pods get their grace to stop, and those that a PodDisruptionBudget holds wait. Where they would land is told by: stave whatif --drain NODE

Examples:
  stave drain n1
  stave drain n1 --ignore-daemonsets --delete-emptydir-data
  stave drain n1 --force --grace-period=5 --timeout=60s`
}

// Run drains one node after the other; what cannot be drained is told at the end.
func (c *drainCmd) Run(ctx context.Context, s *session) error {
	c.DryRun = c.DryRun.settled(s)
	if err := c.mark(ctx, s, true, c.DryRun); err != nil {
		return err
	}
	items, err := c.items(ctx, s)
	if err != nil {
		return err
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	var errs []error
	var pending strings.Builder
	for _, it := range items {
		if err := c.node(ctx, s, it.Key.Name); err != nil {
			if errors.Is(err, context.Canceled) {
				return brokenOff(err, "no new pods come to "+it.Key.Name+" until 'stave uncordon "+it.Key.Name+"'; 'stave drain' goes on")
			}
			errs = append(errs, fmt.Errorf("unable to drain node %q due to error: %w", it.Key.Name, err))
			pending.WriteString(" " + it.Key.Name + "\n")
			continue
		}
		fmt.Fprintf(s.out, "node/%s drained%s\n", it.Key.Name, c.DryRun.suffix())
	}
	if pending.Len() > 0 {
		fmt.Fprintf(s.err, "There are pending nodes to be drained:\n%s", pending.String())
	}
	return errors.Join(errs...)
}

// node takes the pods of one node away, all or, where one must not go, none.
func (c *drainCmd) node(ctx context.Context, s *session, name string) error {
	reply, err := s.read(ctx, wire.ReadRequest{Resource: events.Pods, FieldSelector: "spec.nodeName=" + name, LabelSelector: c.PodSelector})
	if err != nil {
		return err
	}
	objects, err := decodeAll(reply.Objects)
	if err != nil {
		return err
	}
	var pods []*corev1.Pod
	for _, o := range objects {
		pods = append(pods, o.(*corev1.Pod))
	}
	going := c.sort(pods)
	if err := going.refusal(); err != nil {
		return err
	}
	for _, w := range going.warnings {
		fmt.Fprintln(s.err, "Warning: "+w)
	}
	return c.evict(ctx, s, going.pods)
}

// sorted is which pods of a node go, and what speaks against it.
type sortedPods struct {
	pods              []*corev1.Pod
	refused, warnings []string
}

func (p sortedPods) refusal() error {
	switch len(p.refused) {
	case 0:
		return nil
	case 1:
		return errors.New(p.refused[0])
	}
	return errors.New("[" + strings.Join(p.refused, ", ") + "]")
}

// sort judges each pod, in kubectl's words.
func (c *drainCmd) sort(pods []*corev1.Pod) sortedPods {
	var out sortedPods
	var daemons, lone, local []string
	for _, p := range pods {
		name := p.Namespace + "/" + p.Name
		owner := metav1.GetControllerOf(p)
		finished := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		switch {
		case owner != nil && owner.Kind == "DaemonSet" && !finished:
			daemons = append(daemons, name)
			continue
		case owner == nil && !finished:
			lone = append(lone, name)
		}
		if !finished && hasEmptyDir(p) {
			local = append(local, name)
		}
		out.pods = append(out.pods, p)
	}
	out.say(daemons, c.IgnoreDaemonsets, "ignoring DaemonSet-managed Pods", "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)")
	out.say(local, c.DeleteEmptydirData, "deleting Pods with local storage", "cannot delete Pods with local storage (use --delete-emptydir-data to override)")
	out.say(lone, c.Force, "deleting Pods that declare no controller", "cannot delete Pods that declare no controller (use --force to override)")
	return out
}

func (p *sortedPods) say(names []string, allowed bool, warning, refusal string) {
	switch {
	case len(names) == 0:
	case allowed:
		p.warnings = append(p.warnings, warning+": "+strings.Join(names, ", "))
	default:
		p.refused = append(p.refused, refusal+": "+strings.Join(names, ", "))
	}
}

func hasEmptyDir(p *corev1.Pod) bool {
	for _, v := range p.Spec.Volumes {
		if v.EmptyDir != nil {
			return true
		}
	}
	return false
}

// againAfter is how long a pod waits that its budget does not let go, as kubectl's.
const againAfter = 5 * time.Second

// evict asks for the deletion of all and waits for each; those that a budget holds
// are asked for again until it lets them go.
func (c *drainCmd) evict(ctx context.Context, s *session, pods []*corev1.Pod) error {
	if len(pods) == 0 {
		return nil
	}
	req := wire.ChangeRequest{Operation: wire.Evict, DryRun: c.DryRun != "", Message: c.Message}
	if c.DisableEviction {
		req.Operation = wire.Delete
	}
	if c.GracePeriod >= 0 {
		req.Grace = &c.GracePeriod
	}
	for _, p := range pods {
		fmt.Fprintf(s.err, "evicting pod %s/%s%s\n", p.Namespace, p.Name, c.DryRun.suffix())
		req.Items = append(req.Items, wire.Item{Key: events.Key{Resource: events.Pods, Namespace: p.Namespace, Name: p.Name}, UID: events.UID(p.UID)})
	}
	for {
		held, err := c.evictOnce(ctx, s, req)
		if err == nil && len(held) > 0 && c.DryRun == "" {
			select {
			case <-ctx.Done():
			case <-time.After(againAfter):
			}
		}
		if late := errors.Is(ctx.Err(), context.DeadlineExceeded); late && len(held) > 0 {
			return fmt.Errorf("error when evicting pods/%q -n %q: global timeout reached: %v", held[0].Key.Name, held[0].Key.Namespace, c.Timeout)
		}
		if err = errors.Join(err, ctx.Err()); err != nil || len(held) == 0 || c.DryRun != "" {
			return err
		}
		for _, it := range held {
			fmt.Fprintf(s.err, "evicting pod %s/%s\n", it.Key.Namespace, it.Key.Name)
		}
		req.Items = held
	}
}

// evictOnce asks once, waits for what goes, and says what is held.
func (c *drainCmd) evictOnce(ctx context.Context, s *session, req wire.ChangeRequest) (held []wire.Item, err error) {
	results, err := s.change(ctx, req)
	if err != nil {
		return req.Items, err // nobody knows which of them go
	}
	var going []wire.Result
	var errs []error
	for i, r := range results {
		switch {
		case r.Error == nil:
			going = append(going, r)
		case r.Error.Reason == metav1.StatusReasonTooManyRequests:
			fmt.Fprintf(s.err, "error when evicting pods/%q -n %q (will retry after 5s): %s\n", r.Key.Name, r.Key.Namespace, r.Error.Message)
			held = append(held, req.Items[i])
		case r.Error.Reason != metav1.StatusReasonNotFound: // gone by itself meanwhile
			errs = append(errs, refused(r.Error))
		}
	}
	if c.DryRun == "" {
		errs = append(errs, c.gone(ctx, s, going))
	}
	return held, errors.Join(errs...)
}

// gone waits until each pod is.
func (c *drainCmd) gone(ctx context.Context, s *session, going []wire.Result) error {
	for _, r := range going {
		if err := s.waitGone(ctx, []wire.Result{r}, 0); err != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("error when waiting for pod %q in namespace %q to terminate: global timeout reached: %v\nhelp: stave why pod/%s -n %s",
					r.Key.Name, r.Key.Namespace, c.Timeout, r.Key.Name, r.Key.Namespace)
			}
			return err
		}
		fmt.Fprintf(s.out, "pod/%s evicted\n", r.Key.Name)
	}
	return nil
}
