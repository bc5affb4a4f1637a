package daemonset

import (
	"encoding/json"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/revision"
)

// settle sees to it that the present template has a revision, the newest; false when
// that has to come into the log first.
func (p *pass) settle() bool {
	h := revision.Of(p.v, p.o)
	known := collisions(p.o)
	s, ok := h.Settle(&p.ds.Spec.Template, p.ds.Annotations, known)
	if !ok {
		p.because(events.Reason{Code: "NameTaken", About: p.o.Key, What: "controllerrevisions"})
		return false
	}
	for _, d := range s.Drafts {
		p.d.Emit(d)
	}
	if s.Collisions != known {
		p.d.Emit(p.collided(s.Collisions))
	}
	p.revision = s.Hash
	return len(p.d.Events) == 0
}

// counted is what is remembered in a status.
type counted struct {
	CollisionCount int32 `json:"collisionCount"`
}

// collisions is how often the names of other templates were in the way, as it was remembered.
func collisions(o *projections.Object) int32 {
	var c counted
	if len(o.Status) == 0 || json.Unmarshal(o.Status, &c) != nil {
		return 0
	}
	return c.CollisionCount
}

func (p *pass) collided(n int32) reconcilers.Draft {
	status := p.o.Status
	if len(status) == 0 {
		status = json.RawMessage("{}")
	}
	return reconcilers.WriteStatus(p.o, events.StatusWritten{Over: p.o.Over,
		Status: reconcilers.Edit(status, func(object map[string]any) { object["collisionCount"] = n })})
}

// tidy lets go of the oldest revisions that no pod is of, beyond the limit.
func (p *pass) tidy() {
	const kubernetes = 10 // its default, which admission writes
	limit := kubernetes
	if n := p.ds.Spec.RevisionHistoryLimit; n != nil {
		limit = int(*n)
	}
	used := map[string]bool{p.revision: true}
	for _, at := range p.places {
		for _, d := range at.pods {
			used[d.Object.PodLabels()[revision.DaemonHashLabel]] = true
		}
	}
	for _, d := range revision.Of(p.v, p.o).Truncate(limit, func(o *projections.Object) bool { return used[revision.HashOf(o)] }) {
		if !p.d.Emit(d) {
			return
		}
	}
}
