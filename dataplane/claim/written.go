package claim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
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

// claimed is a port that somebody else has.
type claimed struct {
	port  plan.Frontend
	owner string
}

// others reads who else has claimed what in a namespace.
func others(o Options, namespace string) ([]claimed, error) {
	paths, err := filepath.Glob(filepath.Join(o.Dir, "*", file))
	if err != nil {
		return nil, fmt.Errorf("find claims: %w", err)
	}
	var all []claimed
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
		for printed, key := range w.Ports {
			if p, ok := parsed(printed); ok {
				all = append(all, claimed{p, fmt.Sprintf("cluster %s (%s)", name, key)})
			}
		}
	}
	return all, nil
}

// parsed reads a port as it is printed.
func parsed(s string) (plan.Frontend, bool) {
	at, proto, _ := strings.Cut(s, "/")
	host, number, ok := strings.Cut(at, ":")
	port, err := strconv.ParseUint(number, 10, 16)
	p := plan.Frontend{Port: uint16(port), Proto: plan.TCP}
	if proto == plan.UDP.String() {
		p.Proto = plan.UDP
	}
	if p.Addr, _ = netip.ParseAddr(host); !p.Addr.IsValid() && host != "node" {
		return p, false
	}
	return p, ok && err == nil && p.String() == s
}
