package why

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// Who Kubernetes says it was.
const (
	fromScheduler  = "default-scheduler"
	fromKubelet    = "kubelet"
	fromDeployment = "deployment-controller"
	fromReplicaSet = "replicaset-controller"
	fromController = "replication-controller"
	fromDaemonSet  = "daemonset-controller"
	fromStateful   = "statefulset-controller"
	fromJob        = "job-controller"
	fromCron       = "cronjob-controller"
	fromNodes      = "node-controller"
	fromVolumes    = "persistentvolume-controller"
)

// EventsOf tells in Kubernetes' words what the log says of an object, oldest
// first; what came again is counted.
func EventsOf(log []events.Envelope, k events.Key) []table.EventRow {
	t := telling{key: k, at: map[string]int{}, replicas: map[events.Key]int{}}
	for _, e := range log {
		t.event(e)
	}
	return t.rows
}

// telling gathers rows.
type telling struct {
	key      events.Key
	rows     []table.EventRow
	at       map[string]int      // what makes rows the same → where the row stands
	replicas map[events.Key]int  // of replica sets, as last seen
	running  []string            // containers that were started
	image    map[string]string   // container → the image that it wants
	met      map[strain]bool     // limits that were told of
	wish     wish                // what the pod's containers are to have by its spec
	granted  wish                // what they were granted last
	ill      map[string]string   // condition that is true → what it said
	jobs     map[events.Key]bool // of a CronJob → whether it goes on
	seq      events.Seq          // of the event that is being told
	place    int                 // among what was told of it
}

func (t *telling) add(at time.Time, kind, reason, from, format string, args ...any) {
	r := table.EventRow{Type: kind, Reason: reason, From: from, Message: fmt.Sprintf(format, args...), Count: 1, First: at, Last: at, Seq: t.seq, Place: t.place}
	t.place++
	id := r.Reason + "\x00" + r.From + "\x00" + r.Message
	if i, ok := t.at[id]; ok {
		t.rows[i].Count++
		t.rows[i].Last, t.rows[i].Seq, t.rows[i].Place = at, r.Seq, r.Place
		return
	}
	t.at[id] = len(t.rows)
	t.rows = append(t.rows, r)
}

// makers are those who make pods, each in Kubernetes' name for it.
var makers = map[events.Resource]string{events.ReplicaSets: fromReplicaSet, events.Controllers: fromController, events.DaemonSets: fromDaemonSet, events.StatefulSets: fromStateful, events.Jobs: fromJob}

const (
	normal  = "Normal"
	warning = "Warning"
)

func (t *telling) event(e events.Envelope) {
	t.seq, t.place = e.Seq, 0
	switch e.Subject.Class() {
	case "assign":
		t.assigned(e)
	case "seen":
		t.seen(e)
	case "verdict":
		t.verdict(e)
	case "status":
		t.status(e)
	case "spec":
		t.spec(e)
	}
}

func (t *telling) assigned(e events.Envelope) {
	a, _ := events.Decode[events.Assigned](e)
	node, _ := e.Subject.Tail()
	for _, r := range a.Pods {
		if r.Key == t.key {
			from := fromScheduler
			if by, outside := strings.CutPrefix(string(e.Actor), string(events.User(""))); outside {
				from = by
			}
			t.add(e.Time, normal, "Scheduled", from, "Successfully assigned %s/%s to %s", r.Namespace, r.Name, node)
		}
	}
}

func (t *telling) verdict(e events.Envelope) {
	k, err := e.Subject.Key()
	v, bad := events.Decode[events.Verdict](e)
	if err != nil || bad != nil || k != t.key || len(v.Reasons) == 0 {
		return
	}
	if r := v.Reasons[0]; makers[k.Resource] != "" && r.Code == events.FailedCreate {
		t.add(e.Time, warning, string(r.Code), makers[k.Resource], "Error creating: %s", r.Said)
	}
	if r := v.Reasons[0]; k.Resource == events.CronJobs && r.Code == events.FailedCreate {
		t.add(e.Time, warning, string(r.Code), fromCron, "Error creating job: %s", r.Said)
	}
	if r := v.Reasons[0]; k.Resource == events.Deployments && r.Code == events.FailedCreate {
		t.add(e.Time, warning, "ReplicaSetCreateError", fromDeployment, "Failed to create new replica set %q: %s", r.About.Name, r.Said)
	}
	if r := v.Reasons[0]; k.Resource == events.Claims {
		level := warning
		if r.Code == "WaitForFirstConsumer" || r.Code == "ExternalProvisioning" || r.Code == "FailedBinding" {
			level = normal // as in Kubernetes: it may come yet
		}
		t.add(e.Time, level, string(r.Code), fromVolumes, "%s", r.Said)
	}
	if k.Resource != events.Pods {
		return
	}
	t.add(e.Time, warning, "FailedScheduling", fromScheduler, "%s", projections.Refusal(v.Reasons))
}

func (t *telling) status(e events.Envelope) {
	k, err := e.Subject.Key()
	if err == nil && k == t.key && k.Resource == events.Jobs {
		t.jobStatus(e)
	}
	if err == nil && t.jobs[k] {
		t.jobEnded(k, e)
	}
	if err == nil && k == t.key && k.Resource == events.Autoscalers {
		t.autoscaled(e)
	}
	if err != nil || k != t.key || k.Resource != events.Nodes {
		return
	}
	r, err := events.Decode[events.NodeReported](e)
	switch {
	case err != nil:
	case r.Ready:
		t.add(e.Time, normal, "NodeReady", fromKubelet, "Node %s status is now: NodeReady", k.Name)
	default:
		t.add(e.Time, normal, "NodeNotReady", fromNodes, "Node %s status is now: NodeNotReady", k.Name)
	}
}

// spec tells of children that were made, scaled and deleted.
func (t *telling) spec(e events.Envelope) {
	k, err := e.Subject.Key()
	if err != nil {
		return
	}
	switch e.Type.Verb() {
	case events.VerbResized:
		if k == t.key {
			t.resized(e)
		}
	case events.VerbCreated:
		b, err := events.Decode[events.Created](e)
		if err == nil && b.Owner != nil {
			t.child(k, b.Owner.Key(k), b.Object, e)
		}
	case events.VerbChanged:
		if k == t.key && k.Resource == events.Pods {
			t.wished(e)
		}
		b, err := events.Decode[events.Changed](e)
		if err == nil && b.Owner != nil {
			t.child(k, b.Owner.Key(k), b.Object, e)
		}
	case events.VerbRemoved:
		t.jobGone(k, e)
	case events.VerbDeletionRequested:
		if k == t.key {
			t.jobs = nil // they go with it
		}
		if k.Resource == events.Jobs && e.Actor == events.Controller("cronjob") && t.key.Resource == events.CronJobs {
			t.add(e.Time, normal, "SuccessfulDelete", fromCron, "Deleted job %s", k.Name)
			delete(t.jobs, k)
		}
		if from := makers[t.key.Resource]; from != "" && k.Resource == events.Pods && e.Actor == decides(t.key.Resource, from) {
			t.add(e.Time, normal, "SuccessfulDelete", from, "%s", t.done("delete", "Deleted", k))
		}
	}
}

// decides is who decides here for objects whose events Kubernetes says are from somebody.
func decides(r events.Resource, from string) events.Actor {
	if r == events.Controllers {
		from = fromReplicaSet
	}
	return events.Controller(strings.TrimSuffix(from, "-controller"))
}

// done is what Kubernetes' controllers say of a pod that they made or deleted.
func (t *telling) done(verb, past string, pod events.Key) string {
	if t.key.Resource == events.StatefulSets {
		return fmt.Sprintf("%s Pod %s in StatefulSet %s successful", verb, pod.Name, t.key.Name)
	}
	return past + " pod: " + pod.Name
}

func (t *telling) child(k, owner events.Key, object json.RawMessage, e events.Envelope) {
	if owner != t.key {
		return
	}
	switch {
	case k.Resource == events.Pods && e.Type.Verb() == events.VerbCreated:
		t.add(e.Time, normal, "SuccessfulCreate", makers[t.key.Resource], "%s", t.done("create", "Created", k))
	case k.Resource == events.Jobs && e.Type.Verb() == events.VerbCreated:
		t.jobMade(k, e)
	case k.Resource == events.ReplicaSets:
		t.scaled(k, object, e.Time)
	}
}

func (t *telling) scaled(k events.Key, object json.RawMessage, at time.Time) {
	var o struct {
		Spec struct {
			Replicas int `json:"replicas"`
		} `json:"spec"`
	}
	if json.Unmarshal(object, &o) != nil {
		return
	}
	was, now := t.replicas[k], o.Spec.Replicas
	t.replicas[k] = now
	switch {
	case now > was:
		t.add(at, normal, "ScalingReplicaSet", fromDeployment, "Scaled up replica set %s from %d to %d", k.Name, was, now)
	case now < was:
		t.add(at, normal, "ScalingReplicaSet", fromDeployment, "Scaled down replica set %s from %d to %d", k.Name, was, now)
	}
}

func (t *telling) seen(e events.Envelope) {
	b, _ := events.Decode[events.Seen](e)
	if node, err := e.Subject.Tail(); err == nil && b.Node != nil && t.key == (events.Key{Resource: events.Nodes, Name: node}) {
		t.conditions(b.Node.Conditions, e.Time)
	}
	for _, p := range b.Pods {
		if podKey(p) != t.key {
			continue
		}
		for _, x := range p.Facts {
			t.fact(p, x, e.Time)
		}
	}
}

// conditions tells of a node's conditions that became true, say something else, or are over.
func (t *telling) conditions(now []events.NodeCondition, at time.Time) {
	if t.ill == nil {
		t.ill = map[string]string{}
	}
	for _, c := range now {
		said, was := t.ill[c.Type]
		switch {
		case c.Status && said != c.Message:
			t.add(at, warning, c.Reason, fromKubelet, "%s", c.Message)
			t.ill[c.Type] = c.Message
		case !c.Status && was:
			t.add(at, normal, c.Reason, fromKubelet, "%s", c.Message)
			delete(t.ill, c.Type)
		}
	}
}

func (t *telling) fact(p events.PodSeen, x events.Fact, at time.Time) {
	if t.image == nil {
		t.image = map[string]string{}
	}
	if x.Image != "" {
		t.image[x.Container] = x.Image
	}
	switch x.Kind {
	case events.FactPulling:
		t.add(at, normal, "Pulling", fromKubelet, "Pulling image %q", x.Image)
	case events.FactPulled:
		t.pulled(x, at)
	case events.FactPullFailed:
		t.add(at, warning, "Failed", fromKubelet, "Failed to pull image %q: %s", t.image[x.Container], x.Message)
		t.add(at, warning, "Failed", fromKubelet, "Error: %s", x.Reason)
	case events.FactStarted:
		t.add(at, normal, "Created", fromKubelet, "Created container: %s", x.Container)
		t.add(at, normal, "Started", fromKubelet, "Started container %s", x.Container)
		t.running = append(t.running, x.Container)
	case events.FactNotStarted:
		t.add(at, warning, "Failed", fromKubelet, "Error: %s", x.Message)
	case events.FactUnready, events.FactUnhealthy:
		if x.Reason != "" { // a container of a pod that is being stopped is unready and nothing is wrong with it
			t.add(at, warning, x.Reason, fromKubelet, "%s", x.Message)
		}
	case events.FactStarved, events.FactCrowded:
		t.strain(p, x, at)
	case events.FactKilling:
		t.killing(x, at)
	case events.FactAnew:
		t.add(at, normal, events.RestartingAll, fromKubelet, "Container %s exited with a restart policy rule: all containers are restarted", x.Container)
	case events.FactBackoff:
		t.backoff(p, x, at)
	case events.FactResized, events.FactNotResized:
		t.resizing(x, at)
	case events.FactStopping:
		t.stopping(at)
	case events.FactFailed:
		t.add(at, warning, x.Reason, fromKubelet, "%s", x.Message)
	}
}

func (t *telling) pulled(x events.Fact, at time.Time) {
	if x.Took == 0 {
		t.add(at, normal, "Pulled", fromKubelet, "Container image %q already present on machine", x.Image)
		return
	}
	took := time.Duration(x.Took) * time.Millisecond
	t.add(at, normal, "Pulled", fromKubelet, "Successfully pulled image %q in %s (%s including waiting).", x.Image, took, took)
}

func (t *telling) backoff(p events.PodSeen, x events.Fact, at time.Time) {
	switch {
	case x.Reason == "CrashLoopBackOff":
		t.add(at, warning, "BackOff", fromKubelet, "Back-off restarting failed container %s in pod %s_%s(%s)", x.Container, p.Name, p.Namespace, p.UID)
	case strings.HasPrefix(x.Message, events.PostStartRuns):
		t.add(at, normal, "PostStartHook", fromKubelet, "Container %s: %s", x.Container, x.Message)
	case strings.HasPrefix(x.Message, "MountVolume."):
		t.add(at, warning, "FailedMount", fromKubelet, "%s", x.Message)
	case x.Reason == "ContainerCreating":
		t.add(at, warning, "FailedCreatePodSandBox", fromKubelet, "%s", x.Message)
	case strings.HasPrefix(x.Reason, "CreateContainer"):
		t.add(at, warning, "Failed", fromKubelet, "Error: %s", x.Message)
	default:
		t.add(at, normal, "BackOff", fromKubelet, "Back-off pulling image %q", t.image[x.Container])
		t.add(at, warning, "Failed", fromKubelet, "Error: %s", x.Reason)
	}
}

// killing is a run that its node ended, and what made it.
func (t *telling) killing(x events.Fact, at time.Time) {
	cause, failed := events.Unhealthy, "liveness probe"
	switch x.Reason {
	case events.ResizeRestarts:
		t.add(at, normal, "Killing", fromKubelet, "%s", x.Message)
		return
	case events.RestartingAll:
		t.add(at, normal, "Killing", fromKubelet, "Stopping container %s: %s", x.Container, x.Message)
		return
	case events.ImageChanged:
		t.add(at, normal, "Killing", fromKubelet, "Container %s definition changed, will be restarted", x.Container)
		return
	case events.StartupFailed:
		failed = "startup probe"
	case events.PostStartFailed:
		cause, failed = x.Reason, "PostStart hook"
	}
	t.add(at, warning, cause, fromKubelet, "%s", x.Message)
	t.add(at, normal, "Killing", fromKubelet, "Container %s failed %s, will be restarted", x.Container, failed)
}

func (t *telling) stopping(at time.Time) {
	told := map[string]bool{}
	for _, c := range t.running {
		if !told[c] {
			told[c] = true
			t.add(at, normal, "Killing", fromKubelet, "Stopping container %s", c)
		}
	}
}
