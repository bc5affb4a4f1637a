package main

import (
	"errors"
	"strconv"
)

// boundFlags are what a node holds its containers to, whatever their manifests say.
type boundFlags struct {
	MaxProcesses int `help:"How many processes and threads a container may have; more are refused to it." default:"4096" placeholder:"N"`
}

func (b boundFlags) check() error {
	if b.MaxProcesses < 1 {
		return errors.New("--max-processes cannot be less than 1")
	}
	return nil
}

// args are the flags again, for a process that is the node.
func (b boundFlags) args() []string {
	return []string{"--max-processes=" + strconv.Itoa(b.MaxProcesses)}
}
