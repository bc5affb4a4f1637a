package claim

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// somebody is who has a port and cannot be found.
const somebody = "another program"

// owner names the process that listens on a port, and says whether it is this one.
func owner(p plan.Frontend) (name string, own bool) {
	inodes := map[string]bool{}
	for _, l := range listeners(p.Proto) {
		if l.port == p.Port {
			inodes["socket:["+l.inode+"]"] = true
		}
	}
	if len(inodes) == 0 {
		return somebody, false
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good
	for _, f := range files {
		if to, err := os.Readlink(f); err != nil || !inodes[to] {
			continue
		}
		pid := filepath.Base(filepath.Dir(filepath.Dir(f)))
		if comm, err := os.ReadFile(filepath.Join("/proc", pid, "comm")); err == nil {
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(comm)), pid), pid == strconv.Itoa(os.Getpid())
		}
	}
	return somebody, false
}

// listener is a socket that waits for others.
type listener struct {
	port  uint16
	inode string
}

// Fields of a line of /proc/net/tcp.
const (
	fieldLocal = 1
	fieldState = 3
	fieldInode = 9
	// stateListen is TCP_LISTEN, stateIdle that of a UDP socket that is not connected.
	stateListen, stateIdle = "0A", "07"
)

// listeners are the sockets of this namespace that wait for others, on any address.
func listeners(proto plan.Proto) []listener {
	names, state := []string{"tcp", "tcp6"}, stateListen
	if proto == plan.UDP {
		names, state = []string{"udp", "udp6"}, stateIdle
	}
	var out []listener
	for _, name := range names {
		f, err := os.Open("/proc/thread-self/net/" + name)
		if err != nil {
			continue // a kernel without IPv6
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) <= fieldInode || fields[0] == "sl" {
				continue
			}
			if fields[fieldState] != state {
				if proto == plan.TCP {
					break // those that listen come first, and of the others there may be many
				}
				continue
			}
			_, hex, _ := strings.Cut(fields[fieldLocal], ":")
			if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
				out = append(out, listener{uint16(port), fields[fieldInode]})
			}
		}
		_ = f.Close() // it was only read
	}
	return out
}

// Held says which ports from first to last somebody else on the machine holds, and who. It is for who gives ports out.
func Held(o Options, first, last uint16) (map[plan.Frontend]string, error) {
	ns, err := namespace()
	if err != nil {
		return nil, err
	}
	written, err := others(o, ns)
	if err != nil {
		return nil, err
	}
	out := map[plan.Frontend]string{}
	for _, proto := range []plan.Proto{plan.TCP, plan.UDP} {
		listening := map[uint16]bool{}
		for _, l := range listeners(proto) {
			listening[l.port] = true
		}
		for number := int(first); number <= int(last); number++ {
			p := plan.Frontend{Port: uint16(number), Proto: proto}
			if i := slices.IndexFunc(written, func(c claimed) bool { return overlap(c.port, p) }); i >= 0 {
				out[p] = written[i].owner
			} else if listening[p.Port] && !free(p) {
				if who, own := owner(p); !own {
					out[p] = who
				}
			}
		}
	}
	return out, nil
}

// free says whether nobody holds a port: one who listens on IPv6 alone does not.
func free(p plan.Frontend) bool {
	fd, err := bind(p)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}
