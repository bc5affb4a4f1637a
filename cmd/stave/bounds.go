package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/stave-run/stave/node/plan"
)

// boundFlags are what a node holds its containers to, whatever their manifests say.
type boundFlags struct {
	MaxProcesses int           `help:"How many processes and threads a container may have; more are refused to it." default:"4096" placeholder:"N"`
	EvictionHard string        `help:"When the node's disk is short, as 'nodefs.available<10%,imagefs.available<5Gi': it takes no new pods then, and evicts. When empty 10% and 15% with at most 10Gi and 15Gi, and 5% of the inodes." placeholder:"THRESHOLDS"`
	PressureHold time.Duration `name:"eviction-pressure-transition-period" help:"How long the disk has to have been in order again before the node takes pods." default:"5m"`
}

func (b boundFlags) check() error {
	var errs []error
	if b.MaxProcesses < 1 {
		errs = append(errs, errors.New("--max-processes cannot be less than 1"))
	}
	if _, err := plan.ParseThresholds(b.EvictionHard); err != nil {
		errs = append(errs, fmt.Errorf("--eviction-hard: %w", err))
	}
	if b.PressureHold <= 0 {
		errs = append(errs, errors.New("--eviction-pressure-transition-period has to be more than 0"))
	}
	return errors.Join(errs...)
}

// args are the flags again, for a process that is the node.
func (b boundFlags) args() []string {
	return []string{"--max-processes=" + strconv.Itoa(b.MaxProcesses), "--eviction-hard=" + b.EvictionHard,
		"--eviction-pressure-transition-period=" + b.PressureHold.String()}
}
