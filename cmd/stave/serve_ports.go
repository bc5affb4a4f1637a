package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stave-run/stave/dataplane/plan"
	nodeplan "github.com/stave-run/stave/node/plan"
)

// publicPorts are the ports of the node that lead to single pods. They are kept
// on disk beside the pods' addresses: a restarted agent finds its pods running
// and does not wire them again, but writes all tables anew.
type publicPorts struct {
	dir  string
	pods map[string][]nodeplan.HostPort // by the pod's uid
}

// readPublicPorts reads those of pods that have an address.
func readPublicPorts(dir string, address func(uid string) (netip.Addr, bool)) (*publicPorts, error) {
	p := &publicPorts{dir: dir, pods: map[string][]nodeplan.HostPort{}}
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		file := filepath.Join(dir, f.Name())
		if _, wired := address(f.Name()); !wired {
			if err := os.Remove(file); err != nil {
				return nil, err
			}
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var ports []nodeplan.HostPort
		if json.Unmarshal(raw, &ports) == nil { // half a file is one of a pod that was not wired to its end
			p.pods[f.Name()] = ports
		}
	}
	return p, nil
}

// keep remembers a pod's ports, and gives the keys of those that are over.
func (p *publicPorts) keep(uid string, ports []nodeplan.HostPort) (gone []string, err error) {
	before := p.of(uid)
	file := filepath.Join(p.dir, uid)
	if len(ports) == 0 {
		delete(p.pods, uid)
		err = os.Remove(file)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		p.pods[uid] = ports
		raw, _ := json.Marshal(ports) // of strings and numbers
		err = errors.Join(os.MkdirAll(p.dir, 0o700), os.WriteFile(file, raw, 0o600))
	}
	for _, s := range before {
		if !slices.ContainsFunc(p.of(uid), func(x plan.Service) bool { return x.Key == s.Key }) {
			gone = append(gone, s.Key)
		}
	}
	return gone, err
}

func (p *publicPorts) all() []plan.Service {
	var out []plan.Service
	for _, uid := range slices.Sorted(maps.Keys(p.pods)) {
		out = append(out, p.of(uid)...)
	}
	return out
}

// of is a pod's ports as the tables know them: each is a service of one backend,
// on one address of the node or, as a node port is, on all.
func (p *publicPorts) of(uid string) []plan.Service {
	var out []plan.Service
	for _, h := range p.pods[uid] {
		port := plan.Port{Proto: plan.TCP, Endpoints: []netip.AddrPort{h.Pod}}
		if h.Protocol == "UDP" {
			port.Proto = plan.UDP
		}
		s := plan.Service{Key: fmt.Sprintf("%s%s/%s of pod %s", hostPort, h.Host, h.Protocol, uid)}
		if h.Host.Addr().IsUnspecified() {
			port.NodePort = h.Host.Port()
		} else {
			port.Port, s.ClusterIP = h.Host.Port(), h.Host.Addr()
		}
		s.Ports = []plan.Port{port}
		out = append(out, s)
	}
	return out
}

// hostPort begins the keys of pods' own ports; a service's key begins with its namespace.
const hostPort = "host port "

func isHostPort(s plan.Service) bool { return strings.HasPrefix(s.Key, hostPort) }
