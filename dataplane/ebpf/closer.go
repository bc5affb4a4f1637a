package ebpf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/stave-run/stave/dataplane/plan"
)

// gather is how long changes are waited for before sockets are closed: a rollout takes
// backends away one after another, and a socket that is just being connected gets there.
const gather = 20 * time.Millisecond

// closer closes connected UDP sockets of backends that are gone, in the network namespaces
// that have some. TCP connections are left to end by themselves, as everywhere.
type closer struct {
	objs closerObjects
	iter *link.Iter
	kick chan struct{}

	mu  sync.Mutex
	due map[programsFrontend]bool
	all bool // look everywhere: what went while nobody looked is not known
}

// openCloser fails on kernels before 6.5, where no program can close a socket.
func openCloser(maps *programsMaps) (*closer, error) {
	c := &closer{kick: make(chan struct{}, 1), due: map[programsFrontend]bool{}}
	spec, err := loadCloser()
	if err != nil {
		return nil, fmt.Errorf("parse closer: %w", err)
	}
	shared := map[string]*ebpf.Map{
		"frontends": maps.Frontends, "entries": maps.Entries, "slots": maps.Slots, "node_addrs": maps.NodeAddrs,
		"stickies": maps.Stickies, "members": maps.Members, "translated": maps.Translated,
		"visits": maps.Visits, "visits_lost": maps.VisitsLost,
	}
	if err := spec.LoadAndAssign(&c.objs, &ebpf.CollectionOptions{MapReplacements: shared}); err != nil {
		return nil, fmt.Errorf("load closer: %w", err)
	}
	if c.iter, err = link.AttachIter(link.IterOptions{Program: c.objs.CloseUdp}); err != nil {
		return nil, errors.Join(fmt.Errorf("attach closer: %w", err), c.objs.Close())
	}
	return c, nil
}

func (c *closer) close() error { return errors.Join(c.iter.Close(), c.objs.Close()) }

// shed has the sockets of a frontend looked at soon; everything asks for all frontends.
func (c *closer) shed(f plan.Frontend) { c.ask(func() { c.due[frontendKey(f)] = true }) }
func (c *closer) everything()          { c.ask(func() { c.all = true }) }

func (c *closer) ask(note func()) {
	c.mu.Lock()
	note()
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default: // asked for already
	}
}

// taken is what is due, which with that no longer is.
func (c *closer) taken() (due map[programsFrontend]bool, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	due, all = c.due, c.all
	c.due, c.all = map[programsFrontend]bool{}, false
	return due, all
}

// closeSockets works until the context ends.
func (d *Dataplane) closeSockets(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.closer.kick:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
		if err := d.closeDue(); err != nil {
			d.opts.Log.Warn("closing sockets of removed backends", "err", err)
		}
	}
}

// closeDue visits the namespaces with sockets that may have to be closed. The program judges
// each socket by the tables as they are then.
func (d *Dataplane) closeDue() error {
	due, all := d.closer.taken()
	var lost uint32
	if err := d.objs.VisitsLost.Lookup(uint32(0), &lost); err != nil {
		return fmt.Errorf("read whether visits are lost: %w", err)
	}
	visited := map[uint64]bool{}
	if all || lost > 0 {
		for it, cookie, ifindex := d.objs.Members.Iterate(), uint64(0), uint32(0); it.Next(&cookie, &ifindex); {
			visited[cookie] = true
		}
	} else {
		for it, v, yes := d.objs.Visits.Iterate(), (programsVisit{}), uint8(0); it.Next(&v, &yes); {
			if due[programsFrontend{Addr: v.Addr, Port: v.Port, Proto: uint8(plan.UDP)}] {
				visited[v.Cookie] = true
			}
		}
	}
	var errs []error
	for cookie := range visited {
		errs = append(errs, d.closeIn(cookie))
	}
	return errors.Join(errs...)
}

// closeIn runs the program over the sockets of one namespace: an iterator walks those of
// whom it was opened by.
func (d *Dataplane) closeIn(cookie uint64) error {
	path := d.opts.NetNS
	if cookie != d.cookie {
		raw, err := os.ReadFile(d.namespaceFile(cookie))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it is just going
		}
		if err != nil {
			return fmt.Errorf("find network namespace %d: %w", cookie, err)
		}
		path = string(raw)
	}
	err := inNetNS(path, func() error {
		sockets, err := d.closer.iter.Open()
		if err != nil {
			return fmt.Errorf("walk sockets: %w", err)
		}
		defer sockets.Close()
		_, err = io.Copy(io.Discard, sockets)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Where pods' network namespaces are is kept on disk by their cookies: an agent that starts
// finds its pods wired, and is not told again.
func (d *Dataplane) namespaceFile(cookie uint64) string {
	return filepath.Join(namespacesDir(d.opts), strconv.FormatUint(cookie, 10))
}

func namespacesDir(o Options) string { return filepath.Join(o.StateDir, "namespaces-"+o.Cluster) }

// forgetNamespaces is for when the cluster goes.
func forgetNamespaces(o Options) error {
	if o.StateDir == "" {
		return nil
	}
	if err := os.RemoveAll(namespacesDir(o)); err != nil {
		return fmt.Errorf("forget network namespaces: %w", err)
	}
	return nil
}

func (d *Dataplane) keepNamespace(cookie uint64, path string) error {
	err := os.MkdirAll(namespacesDir(d.opts), 0o700)
	if err == nil {
		err = os.WriteFile(d.namespaceFile(cookie), []byte(path), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep place of network namespace: %w", err)
	}
	return nil
}

// pruneMembers forgets the namespaces behind links that are gone, and what was known of them.
func (d *Dataplane) pruneMembers(gone func(ifindex uint32) bool) error {
	left := map[uint64]bool{}
	err := prune(d.objs.Members, func(cookie uint64, ifindex uint32) bool {
		left[cookie] = !gone(ifindex)
		return gone(ifindex)
	})
	err = errors.Join(err, prune(d.objs.Visits, func(v programsVisit, _ uint8) bool { return !left[v.Cookie] }))
	files, readErr := os.ReadDir(namespacesDir(d.opts))
	if errors.Is(readErr, fs.ErrNotExist) {
		return err
	}
	err = errors.Join(err, readErr)
	for _, f := range files {
		if cookie, bad := strconv.ParseUint(f.Name(), 10, 64); bad != nil || !left[cookie] {
			err = errors.Join(err, os.Remove(filepath.Join(namespacesDir(d.opts), f.Name())))
		}
	}
	return err
}
