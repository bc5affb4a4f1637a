package sim

import (
	"encoding/json"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
)

// ledger is a second, small fold of the log, made for the judges alone. It
// shares nothing with projections: it decodes the bodies itself.
type ledger struct {
	epoch     events.Seq
	time      time.Time
	objects   map[events.Key]*entry
	pods      map[events.UID]*life
	order     []*life // every pod that ever was, oldest first
	templates map[string]*podBody
	nodes     map[string]room // what nodes said that they have
	verdicts  map[events.Key]string
	silent    map[string][]turn // by node: fell silent, came back
	member    map[string][]turn // by node: joined, was deleted
	asked     map[events.ChangeID]*asked
	grounds   map[string][]ground    // by node: labels and taints
	stores    map[events.Key]binding // claims and volumes
	rations   map[string]hard        // by namespace: what its quota allows
	ranges    map[string]int64       // by namespace: how much of a core its limit range allows a container, in thousandths
	fickle    []allowance            // what the budget said that people change
	ops       map[events.OpID]bool   // what landed
	scaler    *scaler                // the newest autoscaler; nil before the first
}

// entry is an object that is there.
type entry struct {
	uid      events.UID
	owner    *events.Owner
	born     events.Seq
	deleting bool
	kept     []string     // its finalizers
	owners   []events.UID // those that a client wrote
	versions []version
	object   json.RawMessage // of a Job
	decided  bool            // how a Job ends
	crews    []crew          // of a StatefulSet
	end      string          // of a Job: Complete or Failed once it is over
	ended    events.Seq      // when that was said
	timers   []timing        // of a CronJob
	last     time.Time       // of a CronJob the newest time for which it made a Job; before that, and of others, when it was made itself
}

// version is what an object was from an event on.
type version struct {
	seq   events.Seq
	want  int // replicas
	ripe  int // minReadySeconds
	surge int
	away  int
	// recreate, paused: as the strategy says. sized: the wish for which a set was
	// sized.
	recreate, paused bool
	sized            int
}

// life is one life of a pod, also after its end.
type life struct {
	key      events.Key
	uid      events.UID
	born     events.Seq
	owner    events.UID
	names    []string // containers
	habits   map[string]habit
	ask      room
	sizes    sizes
	priority int
	promised string // the node where room is made for it, as its newest verdict says
	node     string
	assigned events.Seq
	deleted  events.Seq // deletion requested
	stopped  bool
	removed  bool
	gone     events.Seq // removed then
	image    string     // of its first container
	run      map[string]int
	exited   map[string]bool // the present run ended
	codes    map[string]int
	answers  map[string]bool
	ready    []turn
	ended    events.Seq // when nothing of it ran any more, or it was removed; 0: not yet
	place    place
	task     string // its Job's name, empty for others
	index    string // its completion index
	fate     fate
	pinned   string // the node that it is meant for, empty for any
	claim    string // that it uses, empty for none
	gated    bool   // held back from nodes
	largest  int64  // what the largest of its containers asks for, in thousandths of a core
}

// turn is a change of readiness.
type turn struct {
	seq events.Seq
	yes bool
	at  time.Time
}

// room is what pods take and nodes have.
type room struct{ milli, bytes, pods int64 }

type podBody struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		where
		RestartPolicy string     `json:"restartPolicy"`
		Priority      int        `json:"priority"`
		Gates         []struct{} `json:"schedulingGates"`
		Volumes       []struct {
			Claim *struct {
				Name string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
		} `json:"volumes"`
		Containers []podBox `json:"containers"`
	} `json:"spec"`
}

type workload struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Replicas *int `json:"replicas"`
		Paused   bool `json:"paused"`
		MinReady int  `json:"minReadySeconds"`
		Strategy struct {
			Type          string `json:"type"`
			RollingUpdate *struct {
				MaxSurge       json.RawMessage `json:"maxSurge"`
				MaxUnavailable json.RawMessage `json:"maxUnavailable"`
			} `json:"rollingUpdate"`
		} `json:"strategy"`
	} `json:"spec"`
}

func newLedger() *ledger {
	return &ledger{objects: map[events.Key]*entry{}, pods: map[events.UID]*life{}, templates: map[string]*podBody{},
		nodes: map[string]room{}, verdicts: map[events.Key]string{}, silent: map[string][]turn{}, member: map[string][]turn{},
		asked: map[events.ChangeID]*asked{}, grounds: map[string][]ground{}, stores: map[events.Key]binding{}, rations: map[string]hard{}, ranges: map[string]int64{}, ops: map[events.OpID]bool{}}
}

// void tells whether an event was written under a lease that is over.
func (l *ledger) void(e events.Envelope) bool {
	return e.Type != events.LeaseTaken && e.Epoch != 0 && e.Epoch < l.epoch
}

// fold takes one event in. It answers false for one that changes nothing.
func (l *ledger) fold(e events.Envelope) bool {
	if l.void(e) {
		return false
	}
	e.Time = l.goesOn(e)
	parts := strings.Split(string(e.Subject), ".")
	switch parts[1] {
	case "lease":
		l.epoch = e.Seq
	case "template":
		b := &podBody{}
		read(e.Body, b)
		l.templates[parts[2]] = b
	case "spec":
		return l.spec(e)
	case "assign":
		return l.assign(e, nodeOf(e))
	case "seen":
		l.seen(e, nodeOf(e))
	case "status":
		l.heard(e, nodeOf(e))
		l.verdictOnJob(e)
		l.scales(e)
	case "verdict":
		l.promise(e)
	case "change":
		return l.large(e)
	}
	return true
}

func nodeOf(e events.Envelope) string { n, _ := e.Subject.Tail(); return n }

func read(raw []byte, into any) {
	if err := json.Unmarshal(raw, into); err != nil {
		panic("read body: " + err.Error()) // everything in this log was written here
	}
}

// wish is a spec event's body, whatever its verb.
type wish struct {
	UID      events.UID    `json:"uid"`
	Owner    *events.Owner `json:"owner"`
	Template string        `json:"template"`
	// Generation and Refused are of what becomes of a wish for other resources.
	Generation int64           `json:"generation"`
	Refused    string          `json:"refused"`
	Object     json.RawMessage `json:"object"`
	Owners     []struct {
		UID events.UID `json:"uid"`
	} `json:"owners"`
	For events.Ref `json:"for"`
}

func (l *ledger) spec(e events.Envelope) bool {
	k, err := e.Subject.Key()
	if err != nil {
		return false
	}
	var b wish
	read(e.Body, &b)
	have := l.objects[k]
	verb := e.Type.Verb()
	if verb == events.VerbCreated {
		if have == nil {
			l.objects[k] = &entry{uid: b.UID, owner: b.Owner, born: e.Seq, last: e.Time}
			l.change(e.Seq, k, b)
			l.joins(e, k, true)
		}
		return have == nil
	}
	if have == nil || have.uid != b.UID {
		return false
	}
	switch verb {
	case events.VerbChanged:
		have.owner = b.Owner
		l.change(e.Seq, k, b)
	case events.VerbDeletionRequested:
		have.deleting = true
		if p := l.pods[b.UID]; p != nil && p.deleted == 0 {
			p.deleted = e.Seq
			l.fateOf(p, e.Actor)
		}
	case events.VerbResized:
		l.resized(e.Seq, b)
	case events.VerbRemoved:
		delete(l.objects, k)
		delete(l.verdicts, k)
		l.joins(e, k, false)
		if p := l.pods[b.UID]; p != nil {
			p.removed, p.gone = true, e.Seq
			p.ends(e.Seq)
			l.fateOf(p, "")
		}
	}
	return true
}

// joins notes who is a node of the cluster.
func (l *ledger) joins(e events.Envelope, k events.Key, yes bool) {
	if k.Resource == events.Nodes {
		l.member[k.Name] = append(l.member[k.Name], turn{e.Seq, yes, e.Time})
	}
}

func (l *ledger) change(seq events.Seq, k events.Key, b wish) {
	o := l.objects[k]
	var head struct {
		Metadata struct {
			Finalizers []string `json:"finalizers"`
		} `json:"metadata"`
	}
	read(b.Object, &head)
	o.kept, o.owners = head.Metadata.Finalizers, nil
	for _, r := range b.Owners {
		o.owners = append(o.owners, r.UID)
	}
	switch k.Resource {
	case events.Deployments, events.ReplicaSets:
		var w workload
		read(b.Object, &w)
		o.versions = append(o.versions, w.version(seq))
	case events.Jobs:
		o.object = b.Object
	case events.CronJobs:
		o.timed(seq, b.Object)
	case events.StatefulSets:
		var s crewSpec
		read(b.Object, &s)
		o.crews = append(o.crews, s.crew(seq))
	case events.Nodes:
		g := ground{seq: seq}
		read(b.Object, &g.grounding)
		l.grounds[k.Name] = append(l.grounds[k.Name], g)
	case events.Pods:
		p := l.pods[b.UID]
		if p == nil {
			p = &life{key: k, uid: b.UID, born: seq, run: map[string]int{}, exited: map[string]bool{}, codes: map[string]int{}, answers: map[string]bool{}}
			l.pods[b.UID], l.order = p, append(l.order, p)
		}
		p.owner, p.task = "", ""
		if b.Owner != nil {
			p.owner = b.Owner.UID
		}
		if b.Owner != nil && b.Owner.Resource == events.Jobs {
			p.task = b.Owner.Name
		}
		before := p.ask
		l.body(p, b)
		p.wishes(before, b.Generation)
	}
}

func (l *ledger) body(p *life, b wish) {
	body := podBody{}
	if t := l.templates[b.Template]; t != nil {
		body = *t
		body.Metadata.Labels, body.Metadata.Annotations = maps.Clone(t.Metadata.Labels), maps.Clone(t.Metadata.Annotations)
	}
	read(b.Object, &body)
	p.place, p.index = placeOf(&body, b), body.Metadata.Annotations["batch.kubernetes.io/job-completion-index"]
	p.pinned = pinned(body.Spec.Affinity.Node)
	p.image = body.image()
	p.priority, p.names, p.habits, p.ask = body.Spec.Priority, nil, map[string]habit{}, room{pods: 1}
	p.gated, p.largest, p.claim = len(body.Spec.Gates) > 0, body.largest(), ""
	for _, v := range body.Spec.Volumes {
		if v.Claim != nil {
			p.claim = v.Claim.Name
		}
	}
	for i := range body.Spec.Containers {
		c := &body.Spec.Containers[i]
		p.names, p.habits[c.Name] = append(p.names, c.Name), c.habit(body.Spec.RestartPolicy)
		p.ask.milli += amount(c.Resources.Requests["cpu"], true)
		p.ask.bytes += amount(c.Resources.Requests["memory"], false)
	}
}

func (w workload) version(seq events.Seq) version {
	v := version{seq: seq, want: 1, ripe: w.Spec.MinReady, paused: w.Spec.Paused, recreate: w.Spec.Strategy.Type == "Recreate", sized: -1}
	if w.Spec.Replicas != nil {
		v.want = *w.Spec.Replicas
	}
	if n, err := strconv.Atoi(w.Metadata.Annotations["deployment.kubernetes.io/desired-replicas"]); err == nil {
		v.sized = n
	}
	if ru := w.Spec.Strategy.RollingUpdate; ru != nil {
		v.surge = share(ru.MaxSurge, v.want, math.Ceil)
		v.away = share(ru.MaxUnavailable, v.want, math.Floor)
	}
	if v.surge == 0 && v.away == 0 && !v.recreate {
		v.away = 1
	}
	return v
}

// share is a number, or a part of a hundred of all.
func share(raw json.RawMessage, of int, round func(float64) float64) int {
	s := strings.Trim(string(raw), `"`)
	if part, ok := strings.CutSuffix(s, "%"); ok {
		n, _ := strconv.Atoi(part)
		return int(round(float64(of) * float64(n) / 100))
	}
	n, _ := strconv.Atoi(s)
	return n
}

// units are those of the quantities that people and nodes write: 250m, 64Mi.
var units = []struct {
	suffix string
	factor int64
}{{"m", 1}, {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}}

// amount reads a quantity.
func amount(s string, milli bool) int64 {
	factor := int64(1)
	if milli {
		factor = 1000
	}
	for _, unit := range units {
		if n, ok := strings.CutSuffix(s, unit.suffix); ok {
			s, factor = n, unit.factor
			break
		}
	}
	n, _ := strconv.ParseInt(s, 10, 64)
	return n * factor
}
