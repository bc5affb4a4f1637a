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
var oomLine = regexp.MustCompile(`oom-kill:.*,task_memcg=([^,]*),task=(.*),pid=([0-9]+),uid=`)

func starvedOf(kills int, group string) string {
	if kills == 0 {
		return ""
	}
	return starved(kernelMessages, group)
}

// starved names the processes of a cgroup that the kernel killed. It forgets its oldest messages, and may not be asked:
// then nobody is named.
func starved(messages, group string) string {
	// Without blocking: a read at the end would wait for the next message.
	fd, err := unix.Open(messages, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var names []string
	record := make([]byte, 8192) // the kernel gives whole records, which are shorter
	for {
		n, err := unix.Read(fd, record)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			continue // what we would have read next was just overwritten
		case err != nil || n == 0:
			return victims(names)
		}
		for line := range strings.Lines(string(record[:n])) {
			if m := oomLine.FindStringSubmatch(line); m != nil && m[1] == group {
				names = append(names, fmt.Sprintf("%s (pid %s)", m[2], m[3]))
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
