package kube

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// change is one wish of a client's.
type change struct {
	admit.Request
	key    events.Key
	dryRun bool
	// still says whether what the wish was made from is still so on the writer's
	// view; nil does not ask.
	still func(v projections.State) bool
	// may refuses on the writer's view who must not make the change; nil refuses nobody.
	may func(v projections.State) error
}

// outcome is what became of a change, and the state in which it shows.
type outcome struct {
	admit.Outcome
	view projections.State
	now  time.Time
}

// errMoved says that a wish was made from what is no longer so: make it again.
var errMoved = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// submit hands a change to the writer and waits until it is durable. A dry run
// is decided by the same code, and its drafts are folded into a copy.
func (s *Server) submit(ctx context.Context, c change) (outcome, error) {
	who, ok := request.UserFrom(ctx)
	if !ok {
		return outcome{}, apierrors.NewUnauthorized("Unauthorized")
	}
	id, err := newID()
	if err != nil {
		return outcome{}, err
	}
	if c.Item, err = s.Vault.Seal(s.Views.Durable(), c.key, c.Item, c.dryRun); err != nil {
		return outcome{}, apierrors.NewInternalError(err)
	}
	c.Message, c.Asker = messageOf(ctx), asker(ctx)
	var rules *custom.Asking
	if s.Schemas != nil {
		rules = s.Schemas.Asking(s.Converter)
		c.Rules, c.Shaped = rules, true
	}
	c.Op = events.NewOpID(s.Cluster, actorOf(who), id, c.key, 0)
	if s.Held != nil && c.key.Resource == events.Services {
		c.Request.Held = s.Held()
	}
	var out outcome
	wish := Wish{Actor: actorOf(who), ID: id, Key: c.key, Message: c.Message, Together: !c.dryRun,
		Decide: func(v projections.State, now time.Time) ([]reconcilers.Draft, error) {
			out = outcome{view: v, now: now}
			if c.still != nil && !c.still(v) {
				return nil, errMoved
			}
			if c.may != nil {
				if err := c.may(v); err != nil {
					return nil, err
				}
			}
			out.Outcome = admit.Admit(v, c.Request, now)
			if c.dryRun {
				return nil, nil
			}
			return out.Drafts, nil
		}}
	made, err := s.converting(ctx, wish, rules)
	if err != nil {
		return out, s.unsubmitted(err, out.view)
	}
	for _, w := range out.Result.Warnings {
		warning.AddWarning(ctx, "", w)
	}
	if st := out.Result.Error; st != nil {
		return out, &apierrors.StatusError{ErrStatus: *st}
	}
	return s.settled(ctx, c, out, made)
}

// convertTries bounds how often a wish is decided anew because a conversion was missing:
// an object may be brought to the version of the request, from there to the one that is
// kept, and back, and change meanwhile.
const convertTries = 20

// converting submits a wish until all conversions that its decision needs were asked for.
func (s *Server) converting(ctx context.Context, w Wish, rules *custom.Asking) ([]events.Envelope, error) {
	for range convertTries {
		made, err := s.Writer.Submit(ctx, w)
		if err != nil || rules == nil {
			return made, err
		}
		again, err := rules.Answer(ctx)
		if err != nil {
			return nil, err // in Kubernetes' words
		}
		if !again {
			return made, nil
		}
	}
	return nil, errMoved
}

// settled is the outcome once everybody may know of it.
func (s *Server) settled(ctx context.Context, c change, out outcome, made []events.Envelope) (outcome, error) {
	if c.dryRun {
		out.view = admit.Imagine(out.view, c.Op, out.Drafts, out.now)
		return out, nil
	}
	seq := out.view.Seq // nothing was appended: what it was decided on has to be durable all the same
	if len(made) > 0 {
		seq = made[len(made)-1].Seq
		out.Result.Seq = seq
	}
	v, err := s.Views.WaitDurable(ctx, seq)
	if err != nil {
		return out, apierrors.NewInternalError(fmt.Errorf("the change stands in the log at %d, but nobody knows yet whether it survives a power cut: %w", seq, err))
	}
	out.view, out.now = v, s.Now()
	return out, nil
}

// unsubmitted is why the writer took nothing, as clients know it.
func (s *Server) unsubmitted(err error, v projections.State) error {
	var conflict *bus.ConflictError
	var status *apierrors.StatusError
	switch {
	case errors.As(err, &status):
		return status
	case errors.Is(err, errMoved), errors.As(err, &conflict):
		return moved{v.Seq}
	case errors.Is(err, bus.ErrFull):
		return apierrors.NewServiceUnavailable("the log is full: " + err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("the request did not complete within the allotted timeout", 0)
	case errors.Is(err, bus.ErrClosed):
		return apierrors.NewServiceUnavailable("the server is shutting down")
	}
	return apierrors.NewInternalError(err)
}

// moved asks to make a wish again from a state that has folded seq.
type moved struct{ seq events.Seq }

// Error implements error.
func (moved) Error() string { return errMoved.Error() }

// newID names a wish.
func newID() (string, error) {
	var id [12]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", fmt.Errorf("make request id: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}
