// Package ebpf loads the dataplane's programs into the kernel and keeps its tables.
//
// Programs and tables are pinned under /sys/fs/bpf/stave/<cluster>: while the agent is
// away, connections are made and balanced as before. An agent that starts adopts the
// tables, replaces the programs in place, and continues from what is written.
//
// There are two paths. Sockets of the node and of its pods choose a backend once, in
// connect() or sendmsg(): no packet of theirs is ever translated. Packets from outside,
// and from pods that bypass the socket hooks, are translated on the links (bpf/stave.c),
// as are pods' packets to the outside.
//
// The node's address ([Options.NodeIP]) is the one under which other machines know it: that
// of the link with its default route, unless the user says otherwise. NodePorts answer on
// every address that the node has; pods' flows to the outside take the address of the link
// by which they leave, the node's own where it is there.
//
// A UDP socket that is connected to a backend which its service has lost is closed
// (bpf/closer.c): it would ask a dead pod for ever. Established TCP is left alone.
//
// ICMP errors about translated flows reach who sent the packet; datagrams in pieces are
// translated piece by piece, as long as the first one comes first.
//
// What to write is decided by package plan; here it is done. IPv6 is not handled.
package ebpf

// The objects are committed, with a stamp of what they were made from and by.
//go:generate go tool bpf2go -cc clang -strip llvm-strip -cflags "-O2 -g -Wall -Werror -mcpu=v3" -target bpfel -go-package ebpf programs bpf/stave.c -- -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -cc clang -strip llvm-strip -cflags "-O2 -g -Wall -Werror -mcpu=v3" -target bpfel -go-package ebpf closer bpf/closer.c -- -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go test -count=1 -run ^TestObjectsAreFromTheseSources$ . -update
