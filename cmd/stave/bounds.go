package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/stave-run/stave/node/plan"
)

// boundFlags are what a node holds its pods and containers to, whatever their manifests say.
type boundFlags struct {
	MaxPods      int           `help:"How many pods a node takes. For more than 250 a node needs a larger part of the pods' network, which it is given when it is made." default:"110" placeholder:"N"`
	MaxProcesses int           `help:"How many processes and threads a container may have; more are refused to it." default:"4096" placeholder:"N"`
	EvictionHard string        `help:"When the node's disk is short, as 'nodefs.available<10%,imagefs.available<5Gi': it takes no new pods then, and evicts. When empty 10% and 15% with at most 10Gi and 15Gi, and 5% of the inodes." placeholder:"THRESHOLDS"`
	PressureHold time.Duration `name:"eviction-pressure-transition-period" help:"How long the disk has to have been in order again before the node takes pods." default:"5m"`
}

// mostPods bounds what a node is asked to take; no more were tried.
const mostPods = 1000

func (b boundFlags) check() error {
	var errs []error
	if b.MaxPods < 1 || b.MaxPods > mostPods {
		errs = append(errs, fmt.Errorf("--max-pods=%d: want 1 to %d", b.MaxPods, mostPods))
	}
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

// fits refuses a part of the pods' network that has too few addresses.
func (b boundFlags) fits(part netip.Prefix) error {
	if room := 1<<(32-part.Bits()) - 3; b.MaxPods > room { // the first, the last, and the node's own
		return fmt.Errorf("--max-pods=%d: the node was given %s when it was made, which has addresses for %d pods\nhelp: a node that is made with that flag is given more", b.MaxPods, part, room)
	}
	return nil
}

// args are the flags again, for a process that is the node.
func (b boundFlags) args() []string {
	return []string{"--max-pods=" + strconv.Itoa(b.MaxPods), "--max-processes=" + strconv.Itoa(b.MaxProcesses), "--eviction-hard=" + b.EvictionHard,
		"--eviction-pressure-transition-period=" + b.PressureHold.String()}
}
