package api

import (
	"context"

	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/custom"
)

// rules are what definitions say of their objects, for one request: with what their
// webhooks answer in it.
func (s *Server) rules() admit.Rules {
	if s.Rules == nil {
		return nil
	}
	return s.Rules.Asking(s.Converter)
}

// unconverted asks for the conversions that admission missed; true when there were any,
// so that what it refused for them is to be admitted anew.
func unconverted(ctx context.Context, rules admit.Rules) (bool, error) {
	if asking, ok := rules.(*custom.Asking); ok {
		return asking.Answer(ctx)
	}
	return false, nil
}
