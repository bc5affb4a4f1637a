package admit

import (
	"errors"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// errFollows and errGiven say why nobody writes an Endpoints or EndpointSlice of a service that has a selector, or the
// address of a service.
var (
	errFollows = errors.New("it follows from a service with a selector and its pods; take the selector away, or write an EndpointSlice of another name with the label kubernetes.io/service-name")
	errGiven   = errors.New("it follows from the service that has the address, and goes with it")
)

// WhyFollows says why nobody writes what follows from a service.
func WhyFollows(k events.Key) error {
	if k.Resource == events.Addresses {
		return errGiven
	}
	return errFollows
}

// follows refuses to write what follows from a service.
func (w *writing) follows() *refusal {
	switch {
	case !w.v.Follows(w.key):
		return nil
	case w.r.Operation == wire.Create:
		return exists(w.key, false)
	}
	return forbidden(w.key, WhyFollows(w.key).Error())
}
