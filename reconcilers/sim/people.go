package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// app is something that people deploy. The strategy belongs to the name, so
// that a judge need not know under which of two a rollout began.
type app struct {
	namespace, name, strategy string
	minReady                  int // seconds
}

var apps = []app{
	{"default", "web", `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}}`, 0},
	{"default", "api", `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"50%","maxUnavailable":0}}`, 12},
	{"team", "web", `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":2}}`, 5},
	{"team", "db", `{"type":"Recreate"}`, 0},
}

func (a app) key() events.Key {
	return events.Key{Resource: events.Deployments, Namespace: a.namespace, Name: a.name}
}

func (a app) manifest(replicas int, image string) string {
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%q,"namespace":%q},"spec":{"replicas":%d,"minReadySeconds":%d,
"strategy":%s,"selector":{"matchLabels":{"app":%q}},"template":{"metadata":{"labels":{"app":%q}},"spec":{"terminationGracePeriodSeconds":20,
"containers":[{"name":"c","image":%q,"resources":{"requests":{"cpu":"300m","memory":"64Mi"}}}]}}}}`,
		a.name, a.namespace, replicas, a.minReady, a.strategy, a.name, a.name, image)
}

// rules are what people say of where their pods go. Some cannot hold for all of them: then pods wait.
var rules = []string{
	`"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":%[1]q}}}]}}`,
	`"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"topology.kubernetes.io/zone","labelSelector":{"matchLabels":{"app":"api"}}}]}}`,
	`"topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":"DoNotSchedule","topologyKey":"topology.kubernetes.io/zone","labelSelector":{"matchLabels":{"app":%[1]q}}}]`,
	`"topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":"DoNotSchedule","topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":%[1]q}}},
{"maxSkew":2,"whenUnsatisfiable":"DoNotSchedule","topologyKey":"topology.kubernetes.io/zone","labelSelector":{}}]`,
	`"topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":"ScheduleAnyway","topologyKey":"topology.kubernetes.io/zone","labelSelector":{"matchLabels":{"app":%[1]q}}}],
"affinity":{"podAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":50,"podAffinityTerm":{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"web"}}}}]}}`,
}

// placed is the app's manifest with one of the rules.
func (a app) placed(replicas int, image string, rule int) string {
	said := rules[rule]
	if strings.Contains(said, "%[1]q") {
		said = fmt.Sprintf(said, a.name)
	}
	return strings.Replace(a.manifest(replicas, image), `"containers":`, said+`,"containers":`, 1)
}

// images: most come up; one cannot be pulled, one ends at once.
var images = []string{"one:1", "two:1", "three:1", "four:1", "five:1", "bad:1", "crash:1"}

// person does what a person would; false when the action is no person's.
func (w *World) person(a Action, rng *rand.Rand) bool {
	x := apps[rng.IntN(len(apps))]
	q := wire.ChangeRequest{ID: strconv.FormatUint(a.R, 16)}
	item := wire.Item{Key: x.key()}
	switch a.Kind {
	case "keep", "many", "evict", "task", "crew", "urgent", "daemon", "resize", "store", "timer", "crowd", "ration", "grow", "strain":
		map[string]func(uint64, *rand.Rand){"keep": w.keep, "many": w.askMany, "evict": w.evict, "task": w.task, "crew": w.crew, "urgent": w.urgent, "daemon": w.daemon, "resize": w.resize, "store": w.storing, "timer": w.timer, "crowd": w.crowd, "ration": w.ration, "grow": w.grow, "strain": w.strain}[a.Kind](a.R, rng)
		return true
	case "apply":
		w.ask(a.R+1, namespaceRequest(x.namespace))
		q.Operation = wire.Apply
		item = wire.Item{Object: []byte(x.manifest(1+rng.IntN(6), images[rng.IntN(len(images))]))}
	case "place": // with rules about where other pods are
		w.ask(a.R+1, namespaceRequest(x.namespace))
		q.Operation = wire.Apply
		item = wire.Item{Object: []byte(x.placed(1+rng.IntN(6), images[rng.IntN(len(images))], rng.IntN(len(rules))))}
	case "image":
		o, ok := w.newest().Get(x.key())
		if !ok {
			return true
		}
		q.Operation = wire.Apply
		item = wire.Item{Object: []byte(x.manifest(wanted(o), images[rng.IntN(len(images))]))}
	case "scale":
		q.Operation, q.Replicas = wire.Scale, int32(rng.IntN(8))
	case "delete":
		q.Operation, q.Cascade = wire.Delete, []string{"background", "foreground", "orphan"}[rng.IntN(3)]
	case "delete-node":
		q.Operation, item = wire.Delete, wire.Item{Key: admit.NodeKey("n" + itoa(rng.IntN(3)))}
	case "delete-namespace":
		q.Operation = wire.Delete
		item = wire.Item{Key: events.Key{Resource: events.Namespaces, Name: "team"}}
	case "delete-pod":
		o := w.somePod(rng)
		if o == nil {
			return true
		}
		q.Operation, item = wire.Delete, wire.Item{Key: o.Key}
		if rng.IntN(3) == 0 {
			grace := int64(rng.IntN(5))
			q.Grace = &grace
		}
	case "replica-set": // what the deployment made is taken from under it
		for o := range w.newest().List(events.ReplicaSets, x.namespace) {
			q.Operation, item = wire.Delete, wire.Item{Key: o.Key}
		}
		if q.Operation == "" {
			return true
		}
	case "pod":
		q.Operation, item = wire.Apply, wire.Item{Object: []byte(bare(rng))}
	default:
		return false
	}
	q.Items = []wire.Item{item}
	w.ask(a.R, q)
	return true
}

func wanted(o *projections.Object) int {
	var x workload
	read(o.Raw, &x)
	return x.version(0).want
}

func bare(rng *rand.Rand) string {
	policy := []string{"Always", "OnFailure", "Never"}[rng.IntN(3)]
	n, own, beside := rng.IntN(4), "", ""
	if n == 3 { // what a container says of itself goes before what its pod says
		beside = `,{"name":"d","image":"one:1"}`
		own = map[string]string{"Always": `"restartPolicy":"OnFailure",`, "OnFailure": `"restartPolicy":"Always",`,
			"Never": `"restartPolicy":"Never","restartPolicyRules":[{"action":"RestartAllContainers","exitCodes":{"operator":"In","values":[2]}}],`}[policy]
	}
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d-%s","namespace":"default"},"spec":{"restartPolicy":%q,
"terminationGracePeriodSeconds":5,"containers":[{"name":"c",%s"image":"one:1","resources":{"requests":{"cpu":"%dm"}}}%s]}}`,
		n, map[string]string{"Always": "a", "OnFailure": "o", "Never": "n"}[policy], policy, own, 100*(1+rng.IntN(4)), beside)
}

func namespaceRequest(name string) wire.ChangeRequest {
	return wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(
		fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name))}}}
}

func (w *World) newest() projections.State { return w.views[len(w.views)-1] }

func (w *World) somePod(rng *rand.Rand) *projections.Object {
	var all []*projections.Object
	for o := range w.newest().List(events.Pods, "") {
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil
	}
	return all[rng.IntN(len(all))]
}

// errRefused stands for an answer that is no success: people live with it.
var errRefused = errors.New("refused")

// person is who asks here.
const somebody = events.Actor("user:ann")

// ask sends a request to whoever leads and asks again until it is answered.
func (w *World) ask(id uint64, q wire.ChangeRequest) {
	w.submit(w.wish(id, q))
}

// wish is a request for a change of one object.
func (w *World) wish(id uint64, q wire.ChangeRequest) run.Request {
	q.ID = strconv.FormatUint(id, 16)
	k := admit.KeyOf(projections.State{}, q.Items[0])
	op := events.NewOpID(clusterName, somebody, q.ID, k, 0)
	return run.Request{Actor: somebody, ID: q.ID, Key: k, Change: events.ChangeID(q.ID), Message: q.Message, Together: true, Decide: func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
		out := admit.Admit(v, admit.Request{ChangeRequest: q, Item: q.Items[0], Op: op}, now)
		if out.Result.Error != nil {
			return nil, errRefused
		}
		return out.Drafts, nil
	}}
}

func (w *World) submit(q run.Request) {
	for range 12 {
		if leaders := w.leaders(); len(leaders) > 0 && leaders[w.rng.IntN(len(leaders))].submit(q) {
			return
		}
		w.round()
	}
}
