package vault

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"

	"github.com/stave-run/stave/events"
)

// key seals and opens the values of one Secret.
type key struct {
	ID        events.KeyID `json:"id"`
	Namespace string       `json:"namespace"` // of the Secret that it was made for
	Name      string       `json:"name"`
	Key       []byte       `json:"key"` // AES-SIV's 64 bytes
	// Released is since when no Secret holds anything that it opens; zero while
	// one does.
	Released time.Time `json:"released,omitzero"`

	siv *subtle.AESSIV
}

// owner is the Secret that a key was made for.
func (k *key) owner() events.Key {
	return events.Key{Resource: events.Secrets, Namespace: k.Namespace, Name: k.Name}
}

// idSize is the size of a key's id, in bytes.
const idSize = 8

func newKey(owner events.Key) (*key, error) {
	var id [idSize]byte
	k := &key{Namespace: owner.Namespace, Name: owner.Name, Key: make([]byte, subtle.AESSIVKeySize)}
	_, err := rand.Read(id[:])
	if err == nil {
		_, err = rand.Read(k.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	k.ID = events.KeyID(hex.EncodeToString(id[:]))
	return k, k.ready()
}

func (k *key) ready() (err error) {
	if k.siv, err = subtle.NewAESSIV(k.Key); err != nil {
		return fmt.Errorf("use key %s: %w", k.ID, err)
	}
	return nil
}

// errNoKey says that a key is not in the store: it was destroyed, or never here.
var errNoKey = errors.New("its key is not in the key store")

// store is the directory of keys, a file each.
type store struct {
	dir string

	mu    sync.Mutex
	known map[events.KeyID]*key
}

// suffix ends the name of a key's file.
const suffix = ".key"

func (s *store) path(id events.KeyID) string { return filepath.Join(s.dir, string(id)+suffix) }

// get finds a key; errNoKey when there is none.
func (s *store) get(id events.KeyID) (*key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[id]; k != nil {
		return k, nil
	}
	b, err := os.ReadFile(s.path(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNoKey
	}
	k := &key{}
	if err == nil {
		err = json.Unmarshal(b, k)
	}
	if err == nil && k.ID != id {
		err = fmt.Errorf("it is the key %q", k.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", id, err)
	}
	if err := k.ready(); err != nil {
		return nil, err
	}
	s.known[id] = k
	return k, nil
}

// put writes a key for good: what it seals may enter the log after it.
func (s *store) put(k *key) error {
	b, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("write key %s: %w", k.ID, err)
	}
	next := s.path(k.ID) + ".new"
	if err := errors.Join(writeSynced(next, b), os.Rename(next, s.path(k.ID)), syncDir(s.dir)); err != nil {
		return fmt.Errorf("write key %s: %w", k.ID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[k.ID] = k
	return nil
}

// destroy forgets a key for good, as far as a file system does: its file is
// written over before it goes.
func (s *store) destroy(id events.KeyID) error {
	s.mu.Lock()
	delete(s.known, id)
	s.mu.Unlock()
	fi, err := os.Stat(s.path(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = overwrite(s.path(id), fi.Size())
	}
	if err := errors.Join(err, os.Remove(s.path(id)), syncDir(s.dir)); err != nil {
		return fmt.Errorf("destroy key %s: %w", id, err)
	}
	return nil
}

// ids are those of all keys in the store.
func (s *store) ids() ([]events.KeyID, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var out []events.KeyID
	for _, f := range files {
		if id, ok := strings.CutSuffix(f.Name(), suffix); ok {
			out = append(out, events.KeyID(id))
		}
	}
	return out, nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func overwrite(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
