package leftover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Options of a raw socket by which the iptables of old are read, and the sizes of what they
// give (linux/netfilter_ipv4/ip_tables.h).
const (
	getInfo      = 64
	getEntries   = 65
	tableName    = 32
	infoSize     = tableName + 4*(1+5+5+2)
	sizeAt       = infoSize - 4
	entriesAt    = tableName + 8
	tablesListed = "/proc/thread-self/net/ip_tables_names"
)

// chainName is how a chain begins in a table: a target called ERROR that holds the name.
var chainName = regexp.MustCompile(`ERROR\x00{25}([A-Za-z0-9_-]{1,29})\x00`)

// iptables finds chains in the tables of old ("iptables-legacy"). Only tables that exist are
// read: asking for another one would make it.
func iptables() ([]Finding, error) {
	list, err := os.ReadFile(tablesListed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list iptables: %w", err)
	}
	var names []string
	for _, table := range strings.Fields(string(list)) {
		blob, err := readTable(table)
		if err != nil {
			return nil, fmt.Errorf("read iptables table %s: %w", table, err)
		}
		for _, m := range chainName.FindAllSubmatch(blob, -1) {
			names = append(names, string(m[1]))
		}
	}
	return chains(names, "iptables (legacy)", "iptables-legacy-save | grep -v %s | iptables-legacy-restore"), nil
}

// readTable asks again when the table grew between the question for its size and that for it.
func readTable(table string) ([]byte, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(s)
	for range 10 {
		info := make([]byte, infoSize)
		copy(info[:tableName-1], table)
		if err := getsockopt(s, getInfo, info); err != nil {
			return nil, err
		}
		size := binary.NativeEndian.Uint32(info[sizeAt:])
		blob := make([]byte, entriesAt+int(size))
		copy(blob[:tableName-1], table)
		binary.NativeEndian.PutUint32(blob[tableName:], size)
		err := getsockopt(s, getEntries, blob)
		if !errors.Is(err, unix.EAGAIN) {
			return bytes.Clone(blob[entriesAt:]), err
		}
	}
	return nil, unix.EAGAIN
}

func getsockopt(s, option int, buf []byte) error {
	n := uint32(len(buf))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s), unix.IPPROTO_IP, uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return e
	}
	return nil
}
