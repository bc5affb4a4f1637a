package claim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// file is the name of what a node has claimed, in its directory.
const file = "node-ports.json"

// written is what one node has claimed.
type written struct {
	Namespace string            `json:"namespace"` // of the network, by its inode
	Ports     map[string]string `json:"ports"`     // who has it, by the port as it is printed
}

// namespace tells network namespaces apart.
func namespace() (string, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("find network namespace: %w", err)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}

func (c *Claims) write() error {
	w := written{c.ns, map[string]string{}}
	for p, h := range c.held {
		w.Ports[p.String()] = h.key
	}
	raw, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("write claims: %w", err)
	}
	path := filepath.Join(c.o.Dir, c.o.Name, file)
	err = os.WriteFile(path+".new", raw, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write claims: %w", err)
	}
	return nil
}

// others reads who else has claimed what in a namespace, by the port as it is printed.
func others(o Options, namespace string) (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(o.Dir, "*", file))
	if err != nil {
		return nil, fmt.Errorf("find claims: %w", err)
	}
	all := map[string]string{}
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		if name == o.Name {
			continue
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken down meanwhile
		}
		var w written
		if err == nil {
			err = json.Unmarshal(raw, &w)
		}
		if err != nil {
			return nil, fmt.Errorf("read claims %s: %w", path, err)
		}
		if w.Namespace != namespace {
			continue
		}
		for p, key := range w.Ports {
			all[p] = fmt.Sprintf("cluster %s (%s)", name, key)
		}
	}
	return all, nil
}
