package kube

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/badge"
)

// issuerLife is how long a client may keep what is said of the issuer of tokens; its
// key changes only when somebody takes it away.
const issuerLife = "public, max-age=3600"

// addIssuer serves what others need who check tokens of ServiceAccounts by themselves:
// OpenID discovery, for whoever has the role system:service-account-issuer-discovery.
func (s *Server) addIssuer(mux *http.ServeMux) {
	if s.Tokens == nil {
		return
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		publish(w, "application/json", s.Tokens.Provider())
	})
	mux.HandleFunc("GET "+badge.KeysPath, func(w http.ResponseWriter, r *http.Request) {
		key, err := s.Tokens.Publish()
		if err != nil {
			s.fail(apierrors.NewInternalError(err), w, r)
			return
		}
		publish(w, "application/jwk-set+json", map[string][]badge.Published{"keys": {key}})
	})
}

func publish(w http.ResponseWriter, form string, v any) {
	w.Header().Set("Content-Type", form)
	w.Header().Set("Cache-Control", issuerLife)
	_, _ = w.Write(events.MustBody(v)) // a client that is gone need not know
}
