package jetstream

import (
	"crypto/subtle"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// guests are whom the server takes. Users come and go while it runs, so they are
// not in its configuration: it asks here about each who connects.
type guests struct {
	mu    sync.RWMutex
	known map[string]Credential
}

func newGuests(control string, credentials []Credential) (*guests, error) {
	g := &guests{known: map[string]Credential{controlUser: {User: controlUser, Password: control}}}
	for _, c := range credentials {
		if err := c.check(); err != nil {
			return nil, err
		}
		g.known[c.User] = c
	}
	return g, nil
}

func (g *guests) find(user string) (Credential, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	c, ok := g.known[user]
	return c, ok
}

// Check implements server.Authentication.
func (g *guests) Check(c server.ClientAuthentication) bool {
	said := c.GetOpts()
	known, ok := g.find(said.Username)
	if !ok || subtle.ConstantTimeCompare([]byte(known.Password), []byte(said.Password)) != 1 {
		return false
	}
	c.RegisterUser(&server.User{Username: known.User, Permissions: permissionsOf(known)})
	return true
}

// permissionsOf is what a user may do; the control plane may do all.
func permissionsOf(c Credential) *server.Permissions {
	switch {
	case c.User == controlUser:
		return nil
	case c.Node != "":
		return nodePermissions(c)
	}
	return personPermissions(c.User)
}

// Admit takes one more user from now on, or one with another password.
func (s *Server) Admit(c Credential) error {
	if err := c.check(); err != nil {
		return err
	}
	s.guests.mu.Lock()
	before, ok := s.guests.known[c.User]
	s.guests.known[c.User] = c
	s.guests.mu.Unlock()
	if ok && before.Password != c.Password {
		return s.hangUp(c.User)
	}
	return nil
}

// Expel takes a user no longer and ends the connections that it has.
func (s *Server) Expel(user string) error {
	if user == controlUser {
		return fmt.Errorf("expel %s: it is the server itself", user)
	}
	s.guests.mu.Lock()
	delete(s.guests.known, user)
	s.guests.mu.Unlock()
	return s.hangUp(user)
}

// hangUp ends a user's connections.
func (s *Server) hangUp(user string) error {
	all, err := s.nats.Connz(&server.ConnzOptions{Username: true, User: user, State: server.ConnOpen})
	if err != nil {
		return fmt.Errorf("find connections of %s: %w", user, err)
	}
	for _, c := range all.Conns {
		_ = s.nats.DisconnectClientByID(c.Cid) // fails when it has just gone by itself
	}
	return nil
}

// LoadAll reads every credential in a directory, by user name.
func LoadAll(dir string) ([]Credential, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	var out []Credential
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue // one that was being written when its process died
		}
		c, err := LoadCredential(filepath.Join(dir, e.Name()))
		if err == nil && CredentialPath(dir, c.User) != filepath.Join(dir, e.Name()) {
			err = &unreadable{filepath.Join(dir, e.Name()), fmt.Errorf("it is of user %s", c.User)}
		}
		if err != nil {
			return nil, remedied(err)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Credential) int { return strings.Compare(a.User, b.User) })
	return out, nil
}
