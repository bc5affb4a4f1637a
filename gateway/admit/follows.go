package admit

import (
	"errors"

	"github.com/stave-run/stave/gateway/wire"
)

// ErrFollows says why nobody writes an Endpoints or EndpointSlice of a service that
// has a selector.
var ErrFollows = errors.New("it follows from a service with a selector and its pods; take the selector away, or write an EndpointSlice of another name with the label kubernetes.io/service-name")

// follows refuses to write what follows from a service.
func (w *writing) follows() *refusal {
	switch {
	case !w.v.Follows(w.key):
		return nil
	case w.r.Operation == wire.Create:
		return exists(w.key, false)
	}
	return forbidden(w.key, ErrFollows.Error())
}
