package plan

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Strain is what a run met of its limits without being ended by it, counted since it began.
type Strain struct {
	Kills   int    // processes that the kernel killed for want of memory
	Starved string // whom, as far as the kernel still tells
	Machine bool   // the machine's memory was used up, and no container's
	Refused int    // forks that were refused
	Pids    int64  // how many processes it may have
}

// Strained is the pod after one of its running runs met limits.
func (o Observed) Strained(id string, s Strain) Observed {
	for _, c := range o.Containers {
		if c.ID == id && c.Phase == Running {
			c.Strain = s
			return o.Put(c)
		}
	}
	return o
}

// By how much a count grows before it is told anew: a server that loses a worker now and then is told of soon, one that
// only forks not each time.
const (
	starvedGrowth = 2
	crowdedGrowth = 10
)

func grown(count, told, by int) bool { return count > 0 && (told == 0 || count/by >= told) }

// starving tells that the kernel killed processes of a run that goes on.
func (p *planner) starving(c Container, k Known) []events.Fact {
	s := c.Strain
	if !grown(s.Kills, k.Starved, starvedGrowth) {
		return nil
	}
	limit := p.memoryLimit(c.Name, s.Machine)
	return []events.Fact{{Kind: events.FactStarved, Container: c.Name, Run: c.Run, Count: s.Kills, Victim: s.Starved, Limit: limit,
		Message: starved(s.Starved, limit, s.Machine, false) + soFar(s.Kills)}}
}

// crowding tells that a run was refused to fork; of one that has ended too, for nothing else of its end says it.
func crowding(c Container, k Known) []events.Fact {
	s := c.Strain
	if !grown(s.Refused, k.Crowded, crowdedGrowth) {
		return nil
	}
	return []events.Fact{{Kind: events.FactCrowded, At: c.Exit.At, Container: c.Name, Run: c.Run, Count: s.Refused, Limit: strconv.FormatInt(s.Pids, 10),
		Message: fmt.Sprintf("its limit of %d processes is reached, and forks are refused%s", s.Pids, soFar(s.Refused))}}
}

func soFar(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" (%d times so far)", n)
}

// memoryLimit is a container's own, when that can have been met.
func (p *planner) memoryLimit(name string, machine bool) string {
	if machine {
		return ""
	}
	for _, spec := range allContainers(&p.row.Pod.Spec) {
		if limit, ok := spec.Resources.Limits[corev1.ResourceMemory]; ok && spec.Name == name {
			return limit.String()
		}
	}
	return ""
}

// starved says whom the kernel killed for want of memory, and which bound it kept.
func starved(who, limit string, machine, byItself bool) string {
	if who == "" {
		who = "a process"
	}
	s := "the kernel killed " + who + " for want of memory"
	if byItself {
		s += ", and the container ended by itself"
	}
	switch {
	case machine:
		return s + ": the memory of the machine was used up"
	case limit != "":
		return s + ": its memory limit is " + limit
	}
	return s + ": the limit of its pod, or of the node, was reached"
}
