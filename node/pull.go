package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// pull brings the image of a run, or of a volume that it mounts.
func (w *worker) pull(ctx context.Context, row *projections.DesiredPod, op plan.Pull) error {
	began := w.a.now()
	img, found, err := w.a.o.Runtime.Lookup(ctx, op.Image)
	reason := plan.ErrImagePull
	if err == nil && !found && op.Policy == "Never" {
		reason, err = "ErrImageNeverPull", fmt.Errorf("container image %q is not present with pull policy of Never", op.Image)
	}
	fact := events.Fact{Container: op.Container, Run: op.Run, Image: op.Image, Volume: op.Volume}
	if err == nil && (!found || op.Policy == "Always") {
		fact.Kind, fact.At = events.FactPulling, began
		if err := w.tell(ctx, row, fact); err != nil {
			return err
		}
		w.save() // it may take minutes
		img, err = w.fetch(ctx, row, op.Image)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fact.At = w.a.now()
	if err != nil {
		return w.pullFailed(ctx, row, op, fact, reason, err)
	}
	fact.Kind, fact.ImageID, fact.Took = events.FactPulled, imageID(img), fact.At.Sub(began).Milliseconds()
	if err := w.tell(ctx, row, fact); err != nil {
		return err
	}
	w.mount(ctx, op)
	return nil
}

// mount notes that an image is there; one that is a volume is when it is mounted.
func (w *worker) mount(ctx context.Context, op plan.Pull) {
	if op.Volume != "" {
		if err := w.a.o.Runtime.MountImage(ctx, string(w.uid), op.Volume, op.Image); err != nil {
			w.log().Warn("mount image", "volume", op.Volume, "error", err)
			w.update(func(o plan.Observed) plan.Observed {
				return o.NotBrought(op, w.a.now(), runtime.CreateFailed, err.Error())
			})
			w.stale()
			return
		}
	}
	w.update(func(o plan.Observed) plan.Observed { return o.Brought(op) })
	w.stale()
}

// pulling tells whoever looks how far a pull is; nobody has to.
func (a *Agent) pulling(image string) func(runtime.PullProgress) {
	return func(p runtime.PullProgress) {
		m := bus.Message{Subject: wire.PullSubject(a.o.Name),
			Body: events.MustBody(wire.Pulling{Node: a.o.Name, Image: image, Done: p.Done, Total: p.Total})}
		if err := a.o.Wires.Publish(m); err != nil {
			a.log.Debug("tell of a pull", "error", err)
		}
	}
}

func (w *worker) pullFailed(ctx context.Context, row *projections.DesiredPod, op plan.Pull, fact events.Fact, reason string, err error) error {
	var pulling *runtime.PullError
	if errors.As(err, &pulling) && pulling.Reason == runtime.PullInvalidName {
		reason = "InvalidImageName"
	}
	fact.Kind, fact.Reason, fact.Message = events.FactPullFailed, reason, err.Error()
	if err := w.tell(ctx, row, fact); err != nil {
		return err
	}
	then := plan.ImagePullBackOff
	if reason != plan.ErrImagePull {
		then = reason // Kubernetes goes on to say what is wrong: trying again will not help by itself
	}
	message := fmt.Sprintf("back-off pulling image %q: %s: %s", fact.Image, reason, fact.Message)
	w.update(func(o plan.Observed) plan.Observed { return o.NotBrought(op, w.a.now(), then, message) })
	w.stale()
	return nil
}

// imageID is Kubernetes': the repository and the digest.
func imageID(img runtime.Image) string {
	if img.Digest == "" {
		return img.Ref
	}
	repo, _, _ := strings.Cut(img.Ref, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo = repo[:i]
	}
	return repo + "@" + img.Digest
}
