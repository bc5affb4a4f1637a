package events

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How the bodies of which a log holds most are read, field by field in the order
// in which they are declared: that is the order in which they are written.

func (b *Created) plain(p *plain) {
	p.open('{')
	if p.key("uid") {
		b.UID = UID(p.string())
	}
	if p.key("owner") {
		b.Owner = &Owner{}
		b.Owner.plain(p)
	}
	if p.key("template") {
		b.Template = Hash(p.string())
	}
	if p.key("object") {
		b.Object = p.raw()
	}
	if p.key("applied") {
		b.Applied = p.raw()
	}
	if p.key("managed") {
		b.Managed = p.raw()
	}
	if p.key("set") {
		b.Set = p.string()
	}
	if p.key("owners") {
		b.Owners = list(p, 1, plainReference)
	}
	p.close('}')
}

func (b *Changed) plain(p *plain) {
	p.open('{')
	if p.key("uid") {
		b.UID = UID(p.string())
	}
	if p.key("generation") {
		b.Generation = p.number()
	}
	if p.key("owner") {
		b.Owner = &Owner{}
		b.Owner.plain(p)
	}
	if p.key("template") {
		b.Template = Hash(p.string())
	}
	if p.key("object") {
		b.Object = p.raw()
	}
	if p.key("applied") {
		b.Applied = p.raw()
	}
	if p.key("managed") {
		b.Managed = p.raw()
	}
	if p.key("set") {
		b.Set = p.string()
	}
	if p.key("released") {
		b.Released = list(p, 1, func(p *plain, s *string) { *s = p.string() })
	}
	if p.key("owners") {
		b.Owners = list(p, 1, plainReference)
	}
	p.close('}')
}

func (w *Owner) plain(p *plain) {
	p.open('{')
	if p.key("resource") {
		w.Resource = p.resource()
	}
	if p.key("name") {
		w.Name = p.string()
	}
	if p.key("uid") {
		w.UID = UID(p.string())
	}
	p.close('}')
}

func plainReference(p *plain, r *metav1.OwnerReference) {
	p.open('{')
	if p.key("apiVersion") {
		r.APIVersion = p.string()
	}
	if p.key("kind") {
		r.Kind = p.string()
	}
	if p.key("name") {
		r.Name = p.string()
	}
	if p.key("uid") {
		r.UID = types.UID(p.string())
	}
	if p.key("controller") {
		yes := p.bool()
		r.Controller = &yes
	}
	if p.key("blockOwnerDeletion") {
		yes := p.bool()
		r.BlockOwnerDeletion = &yes
	}
	p.close('}')
}

func (b *DeletionRequested) plain(p *plain) {
	p.open('{')
	if p.key("uid") {
		b.UID = UID(p.string())
	}
	if p.key("grace") {
		b.Grace = p.number()
	}
	if p.key("orphan") {
		b.Orphan = p.bool()
	}
	if p.key("foreground") {
		b.Foreground = p.bool()
	}
	if p.key("force") {
		b.Force = p.bool()
	}
	if p.key("for") {
		plainRef(p, &b.For)
	}
	if p.key("disrupts") {
		b.Disrupts = Code(p.string())
	}
	p.close('}')
}

func (b *Removed) plain(p *plain) {
	p.open('{')
	if p.key("uid") {
		b.UID = UID(p.string())
	}
	if p.key("shred") {
		b.Shred = p.bool()
	}
	p.close('}')
}

func (b *Assigned) plain(p *plain) {
	p.open('{')
	if p.key("pods") {
		b.Pods = list(p, 1, plainRef)
	}
	if p.key("withdrawn") {
		b.Withdrawn = list(p, 1, plainRef)
	}
	p.close('}')
}

func plainRef(p *plain, r *Ref) {
	p.open('{')
	if p.key("resource") {
		r.Resource = p.resource()
	}
	if p.key("namespace") {
		r.Namespace = p.string()
	}
	if p.key("name") {
		r.Name = p.string()
	}
	if p.key("uid") {
		r.UID = UID(p.string())
	}
	p.close('}')
}

// A node's facts about itself and about volumes are rare: encoding/json reads them.
func (b *Seen) plain(p *plain) {
	p.open('{')
	if p.key("pods") {
		b.Pods = list(p, 1, plainPodSeen)
	}
	p.close('}')
}

func plainPodSeen(p *plain, s *PodSeen) {
	p.open('{')
	if p.key("namespace") {
		s.Namespace = p.string()
	}
	if p.key("name") {
		s.Name = p.string()
	}
	if p.key("uid") {
		s.UID = UID(p.string())
	}
	if p.key("assigned") {
		s.Assigned = Seq(p.number())
	}
	if p.key("facts") {
		s.Facts = list(p, 4, plainFact)
	}
	p.close('}')
}

// kinds of facts take no room.
var kinds = map[string]FactKind{}

func init() {
	for _, k := range []FactKind{FactSandbox, FactPulling, FactPulled, FactPullFailed, FactStarted, FactNotStarted, FactExited, FactReady,
		FactUnready, FactUp, FactUnhealthy, FactKilling, FactBackoff, FactStopping, FactStopped, FactFailed} {
		kinds[string(k)] = k
	}
}

func plainFact(p *plain, f *Fact) {
	p.open('{')
	if p.key("kind") {
		s := p.text()
		k, ok := kinds[string(s)]
		if !ok {
			k = FactKind(s)
		}
		f.Kind = k
	}
	if p.key("at") {
		f.At = p.time()
	}
	plainRun(p, f)
	plainEnd(p, f)
	p.close('}')
}

// plainRun reads the fields in the middle of a fact.
func plainRun(p *plain, f *Fact) {
	if p.key("container") {
		f.Container = p.string()
	}
	if p.key("run") {
		f.Run = int(p.number())
	}
	if p.key("image") {
		f.Image = p.string()
	}
	if p.key("imageID") {
		f.ImageID = p.string()
	}
	if p.key("containerID") {
		f.ContainerID = p.string()
	}
	if p.key("ip") {
		f.IP = p.string()
	}
	if p.key("hostIP") {
		f.HostIP = p.string()
	}
}

// plainEnd reads the fields at the end of a fact.
func plainEnd(p *plain, f *Fact) {
	if p.key("code") {
		f.Code = int(p.number())
	}
	if p.key("signal") {
		f.Signal = int(p.number())
	}
	if p.key("oom") {
		f.OOM = p.bool()
	}
	if p.key("reason") {
		f.Reason = p.string()
	}
	if p.key("message") {
		f.Message = p.string()
	}
	if p.key("tail") {
		f.Tail = p.string()
	}
	if p.key("startedAt") {
		f.StartedAt = p.time()
	}
	if p.key("until") {
		f.Until = p.time()
	}
	if p.key("tookMillis") {
		f.Took = p.number()
	}
	if p.key("count") {
		f.Count = int(p.number())
	}
	if p.key("limit") {
		f.Limit = p.string()
	}
	if p.key("victim") {
		f.Victim = p.string()
	}
	if p.key("volume") {
		f.Volume = p.string()
	}
}
