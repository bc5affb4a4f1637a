package leftover

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

const (
	serversListed = "/proc/thread-self/net/ip_vs"
	serverLink    = "kube-ipvs0" // holds the services' addresses
)

// virtualServers finds kube-proxy's way by IPVS. Virtual servers without its link are
// somebody else's.
func virtualServers() ([]Finding, error) {
	_, err := netlink.LinkByName(serverLink)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", serverLink, err)
	}
	f := Finding{"kube-proxy", "the link " + serverLink + " with services' addresses", "ip link delete " + serverLink}
	list, err := os.ReadFile(serversListed)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []Finding{f}, fmt.Errorf("list virtual servers: %w", err)
	}
	if n := countServers(string(list)); n > 0 {
		f.What = fmt.Sprintf("%d virtual servers of IPVS, and %s", n, f.What)
		f.Remove = "ipvsadm --clear && " + f.Remove
	}
	return []Finding{f}, nil
}

// countServers counts the lines of servers; those that begin with an arrow are behind one.
func countServers(list string) int {
	n := 0
	for line := range strings.Lines(list) {
		if kind, _, _ := strings.Cut(line, " "); kind == "TCP" || kind == "UDP" || kind == "SCTP" {
			n++
		}
	}
	return n
}
