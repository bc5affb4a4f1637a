package main

import (
	"os"
	"os/signal"
	"syscall"
)

// pausing is the word by which the agent asks this program to be nothing but the first process of a pod whose containers
// share their process ids: the namespace lives as long as it does, and what loses its parent there becomes its child.
const pausing = "pause"

// pause waits for children to end, for ever. Signals from inside the pod do not reach it, as they reach no first process.
func pause() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
}
