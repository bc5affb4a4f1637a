package ebpf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Below a cluster's directory: links/<name>, maps-<schema>/<map>, and one directory whose
// name says which ports its translated flows use.
const (
	linksDir   = "links"
	mapsPrefix = "maps-"
	snatPrefix = "snat-"
)

// The ports for translated sources are shared out among the clusters of one node address.
const (
	snatFirst  = 61440
	snatCount  = 1024
	snatShares = 4
)

// tableFormat is raised when the meaning of a table changes and its shape doesn't.
const tableFormat = 2

// schema names the shape of the tables. Programs with the same schema adopt them.
func schema(spec *ebpf.CollectionSpec) string {
	var lines []string
	for name, m := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			lines = append(lines, fmt.Sprint(name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags))
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256(fmt.Append(nil, tableFormat, lines))
	return fmt.Sprintf("%x", sum[:6])
}

func mapsDir(o Options, spec *ebpf.CollectionSpec) string {
	return filepath.Join(o.dir(), mapsPrefix+schema(spec))
}

// load brings programs and tables into the kernel; tables that are pinned with the same
// schema are the ones used.
func load(o Options) (*programsObjects, string, error) {
	spec, err := loadPrograms()
	if err != nil {
		return nil, "", fmt.Errorf("parse programs: %w", err)
	}
	share, err := snatShare(o)
	if err != nil {
		return nil, "", err
	}
	for name, value := range map[string]any{
		"node_ip": be32(o.NodeIP), "snat_first": uint16(snatFirst + share*snatCount), "snat_count": o.ports,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, "", fmt.Errorf("set %s: %w", name, err)
		}
	}
	for name, m := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			m.Pinning = ebpf.PinByName
		}
	}
	maps := mapsDir(o, spec)
	if err := os.MkdirAll(maps, 0o700); err != nil {
		return nil, "", fmt.Errorf("make pin directory: %w", err)
	}
	objs := &programsObjects{}
	err = spec.LoadAndAssign(objs, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: maps}})
	if err != nil {
		return nil, "", fmt.Errorf("load programs (root, or CAP_BPF and CAP_NET_ADMIN, is needed): %w", err)
	}
	return objs, maps, nil
}

// otherSchemas are the table directories of other versions of the programs.
func otherSchemas(o Options, maps string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(o.dir(), mapsPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return slices.DeleteFunc(all, func(dir string) bool { return dir == maps }), nil
}

// snatShare is the number of this cluster's share of ports: the one it has, or one that
// the fewest other clusters with the same node address have.
func snatShare(o Options) (int, error) {
	unlock, err := lockHome(o)
	if err != nil {
		return 0, err
	}
	defer unlock()
	var users [snatShares]int
	all, err := filepath.Glob(filepath.Join(o.home(), "*", snatPrefix+"*"))
	if err != nil {
		return 0, fmt.Errorf("list port shares: %w", err)
	}
	for _, path := range all {
		var share int
		var node uint32
		if _, err := fmt.Sscanf(filepath.Base(path), snatPrefix+"%d-%08x", &share, &node); err != nil {
			return 0, fmt.Errorf("read port share %s: %w", path, err)
		}
		switch mine := filepath.Dir(path) == o.dir(); {
		case mine && node == be32(o.NodeIP):
			return share, nil
		case mine: // the node has another address now
			if err := os.Remove(path); err != nil {
				return 0, fmt.Errorf("give port share back: %w", err)
			}
		case node == be32(o.NodeIP) && share < snatShares:
			users[share]++
		}
	}
	return takeShare(o, users)
}

// takeShare takes a share that nobody has. Beyond that many clusters two have the same, and
// flows of theirs to one address outside may now and then meet on one port.
func takeShare(o Options, users [snatShares]int) (int, error) {
	share := 0
	for i, n := range users {
		if n < users[share] {
			share = i
		}
	}
	if users[share] > 0 {
		o.Log.Warn("sharing source ports with another cluster", "node", o.NodeIP, "clusters", users[share]+1)
	}
	name := fmt.Sprintf(snatPrefix+"%d-%08x", share, be32(o.NodeIP))
	if err := os.Mkdir(filepath.Join(o.dir(), name), 0o700); err != nil {
		return 0, fmt.Errorf("take port share: %w", err)
	}
	return share, nil
}

// lockHome keeps clusters that start at the same time apart.
func lockHome(o Options) (func(), error) {
	f, err := os.Open(o.home())
	if err != nil {
		return nil, fmt.Errorf("open pin directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock pin directory: %w", err)
	}
	return func() { f.Close() }, nil
}

// exists says whether there is a pin at path.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
