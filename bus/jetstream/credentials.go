package jetstream

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
)

// Credential is what a user shows to the server. Whoever can read its file is
// that user.
type Credential struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// Node is set in a node agent's credential, which may do nothing but what
	// that one node has to.
	Node string `json:"node,omitempty"`
}

// userName is what can stand as one token of a subject.
var userName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_=-]*$`)

// nodeName is a DNS name, as Kubernetes wants nodes to have.
var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// maxName bounds both. The expressions leave it out: they are compiled at each
// start of the program, and a counted repetition is compiled as often as it counts.
const maxName = 251

// NodeUser is the user name of a node's agent.
func NodeUser(node string) string { return events.NodeUser(node) }

// LoadOrCreate reads the credential of a person from dir, or makes one. dir gets
// mode 0700 and the file, <user>.json, 0600.
func LoadOrCreate(dir, user string) (Credential, error) {
	return loadOrCreate(dir, Credential{User: user})
}

// LoadOrCreateNode is LoadOrCreate for a node's agent.
func LoadOrCreateNode(dir, node string) (Credential, error) {
	return loadOrCreate(dir, Credential{User: NodeUser(node), Node: node})
}

func loadOrCreate(dir string, want Credential) (Credential, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Credential{}, fmt.Errorf("make credential directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // it may have been there, wider
		return Credential{}, fmt.Errorf("close credential directory to others: %w", err)
	}
	path := CredentialPath(dir, want.User)
	c, err := LoadCredential(path)
	switch {
	case err == nil && c.User != want.User:
		return c, fmt.Errorf("credential %s is of user %s"+remedy, path, c.User)
	case !errors.Is(err, fs.ErrNotExist):
		return c, remedied(err)
	}
	if want.Password, err = newPassword(); err != nil {
		return Credential{}, err
	}
	if err := want.check(); err != nil {
		return Credential{}, err
	}
	return want, want.write(path)
}

// remedy is what to do about a credential of which this machine can make another.
const remedy = "; put it back from a copy, or remove it to have another one made: whoever has a copy elsewhere needs the new one then"

func remedied(err error) error {
	if errors.As(err, new(*unreadable)) {
		return fmt.Errorf("%w"+remedy, err)
	}
	return err
}

// unreadable is the error of a credential whose content is none.
type unreadable struct {
	path string
	err  error
}

func (u *unreadable) Error() string { return fmt.Sprintf("decode credential %s: %v", u.path, u.err) }

func (u *unreadable) Unwrap() error { return u.err }

// CredentialPath is where LoadOrCreate keeps a user's credential.
func CredentialPath(dir, user string) string { return filepath.Join(dir, user+".json") }

// LoadCredential reads a credential's file. It refuses one that others than its
// owner may read: what everybody knows vouches for nobody.
func LoadCredential(path string) (Credential, error) {
	var c Credential
	f, err := os.Open(path)
	if err != nil {
		return c, fmt.Errorf("open credential: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return c, fmt.Errorf("look at credential: %w", err)
	}
	switch {
	case st.IsDir():
		return c, fmt.Errorf("credential %s is a directory: remove it", path)
	case st.Mode().Perm()&0o077 != 0:
		return c, fmt.Errorf("credential %s has mode %04o: others can read it; chmod 600 it", path, st.Mode().Perm())
	}
	err = json.NewDecoder(f).Decode(&c)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return c, &unreadable{path, err}
	}
	return c, nil
}

// check refuses names that would widen the subjects made of them.
func (c Credential) check() error {
	switch {
	case len(c.User) > maxName || !userName.MatchString(c.User):
		return fmt.Errorf("credential: user name %q: letters, digits, -, _ and = only, at most %d", c.User, maxName)
	case c.User == controlUser:
		return fmt.Errorf("credential: user name %q is the server's own", c.User)
	case c.Node == "" && events.IsNodeUser(c.User):
		return fmt.Errorf("credential: user name %q is a node agent's", c.User)
	case c.Password == "":
		return fmt.Errorf("credential of %s: no password", c.User)
	case c.Node != "" && (len(c.Node) > maxName || !nodeName.MatchString(c.Node)):
		return fmt.Errorf("credential of %s: node name %q is no DNS name", c.User, c.Node)
	case c.Node != "" && c.User != NodeUser(c.Node):
		return fmt.Errorf("credential of %s: node %s's user is %s", c.User, c.Node, NodeUser(c.Node))
	}
	return nil
}

// write makes the file whole or not at all, so that a crash leaves no empty one.
func (c Credential) write(path string) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode credential: %w", err)
	}
	if err := sealed.Replace(path, append(b, '\n')); err != nil {
		return fmt.Errorf("write credential: %w", err)
	}
	return nil
}

// passwordBytes is the randomness of a password: 256 bits.
const passwordBytes = 32

func newPassword() (string, error) {
	var b [passwordBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make password: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
