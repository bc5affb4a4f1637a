// Package netdump lists what the kernel knows over netlink, whole. The kernel
// gives such a list piece by piece and says when something changed meanwhile;
// pods come and go all the time, so that is no error but a reason to ask again.
package netdump

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// tries bounds how often a list is asked for that changes each time.
const tries = 20

// Whole asks until it gets a list that nothing changed under.
func Whole[T any](list func() (T, error)) (T, error) {
	var out T
	var err error
	for range tries {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, fmt.Errorf("changed during each of %d lists: %w", tries, err)
}

// defaultMTU is that of a machine without a default route.
const defaultMTU = 1500

// UplinkMTU is how large a packet may leave by the link with the default route.
func UplinkMTU(h *netlink.Handle) (int, error) {
	routes, err := Routes(h, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		return 0, fmt.Errorf("find default route: %w", err)
	}
	for _, r := range routes {
		if l, err := h.LinkByIndex(r.LinkIndex); err == nil {
			return l.Attrs().MTU, nil
		}
	}
	return defaultMTU, nil
}

// Links are all links of a namespace.
func Links(h *netlink.Handle) ([]netlink.Link, error) { return Whole(h.LinkList) }

// Routes are the IPv4 routes that the filter's fields in mask pick.
func Routes(h *netlink.Handle, filter *netlink.Route, mask uint64) ([]netlink.Route, error) {
	return Whole(func() ([]netlink.Route, error) { return h.RouteListFiltered(netlink.FAMILY_V4, filter, mask) })
}
