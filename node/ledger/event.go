package ledger

import (
	"strconv"
	"time"

	"github.com/stave-run/stave/events"
)

// MaxFlush is the most pieces that one event says.
const MaxFlush = 500

// Piece is what was seen of one pod, or of the node itself, at one moment. Num counts a journal's pieces from 1.
type Piece struct {
	Num  uint64            `json:"num,omitempty"`
	Pod  *events.PodSeen   `json:"pod,omitempty"`
	Node *events.NodeFacts `json:"node,omitempty"`
	// Volume is what became of the directory of a PersistentVolume.
	Volume *events.VolumeSeen `json:"volume,omitempty"`
}

// usualFacts are how many facts of a pod one event mostly says: those of its start.
const usualFacts = 4

// Teller is who tells: part of every operation id.
type Teller struct {
	Cluster string
	Node    string
	Journal string // tells this journal from one that was lost with its disk
}

// Event makes one event of pieces, at least one. The same pieces always make the same operation id, so that the fold sees
// when they are said twice. Its cause is the newest assignment in it.
func (t Teller) Event(pieces []Piece, now time.Time) events.Envelope {
	var seen events.Seen
	var cause events.Seq
	at := map[events.UID]int{}
	for _, p := range pieces {
		if p.Node != nil {
			seen.Node = p.Node
		}
		if p.Volume != nil {
			seen.Volumes = append(seen.Volumes, *p.Volume)
		}
		if p.Pod == nil {
			continue
		}
		cause = max(cause, p.Pod.Assigned)
		i, ok := at[p.Pod.UID]
		if ok && seen.Pods[i].Assigned == p.Pod.Assigned {
			seen.Pods[i].Facts = append(seen.Pods[i].Facts, p.Pod.Facts...)
			continue
		}
		at[p.Pod.UID] = len(seen.Pods)
		own := *p.Pod
		own.Facts = append(make([]events.Fact, 0, max(usualFacts, len(p.Pod.Facts))), p.Pod.Facts...)
		seen.Pods = append(seen.Pods, own)
	}
	actor := events.NodeActor(t.Node)
	basis := t.Journal + " " + strconv.FormatUint(pieces[0].Num, 10) + "-" + strconv.FormatUint(pieces[len(pieces)-1].Num, 10)
	key := events.Key{Resource: events.Nodes, Name: t.Node}
	return events.Envelope{
		Subject: events.SeenSubject(t.Node), Type: events.PodsSeen, Version: 1, Actor: actor, Cause: cause, Now: now,
		Op: events.NewOpID(t.Cluster, actor, basis, key, 0), Body: events.MustBody(seen),
	}
}
