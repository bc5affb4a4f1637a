package containerd

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelMessages is where the kernel says whom it killed: cgroups only count.
const kernelMessages = "/dev/kmsg"

// maxVictims is how many of the killed are named.
const maxVictims = 3

// oomLine is what the kernel writes about each process that it kills for want of memory.
var oomLine = regexp.MustCompile(`oom-kill:(.*),task_memcg=([^,]*),task=(.*),pid=([0-9]+),uid=`)

// maxRecord bounds one message of the kernel.
const maxRecord = 8192

// starved names the processes of a cgroup, and of those below it, that the kernel killed; machine says that the last was
// killed because the machine's memory was used up. The kernel forgets its oldest messages, and may not be asked: then
// nobody is named.
func starved(messages, group string) (who string, machine bool) {
	// Without blocking: a read at the end would wait for the next message.
	fd, err := unix.Open(messages, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	var names []string
	record := make([]byte, maxRecord)
	for {
		n, err := unix.Read(fd, record)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			continue // what we would have read next was just overwritten
		case err != nil || n == 0:
			return victims(names), machine
		}
		for line := range strings.Lines(string(record[:n])) {
			if m := oomLine.FindStringSubmatch(line); m != nil && (m[2] == group || strings.HasPrefix(m[2], group+"/")) {
				names, machine = append(names, fmt.Sprintf("%s (pid %s)", m[3], m[4])), strings.HasSuffix(m[1], ",global_oom")
			}
		}
	}
}

func victims(names []string) string {
	if extra := len(names) - maxVictims; extra > 0 {
		names = append(names[:maxVictims:maxVictims], fmt.Sprintf("%d more", extra))
	}
	return strings.Join(names, ", ")
}
