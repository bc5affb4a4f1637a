package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// wild is the namespace of those who mistype numbers and change rules while they are followed. It has a quota always: or a size of a
// thousand million would be carried out.
const wild = "wild"

var wildKey = events.Key{Resource: events.Namespaces, Name: wild}

// strain is somebody who does what few do: numbers at the ends of their types, very many of a kind at once, rules changed in flight.
func (w *World) strain(r uint64, rng *rand.Rand) {
	switch n := rng.IntN(42); {
	case n == 0:
		w.throng(r, rng)
	case n == 1:
		w.backlog(r)
	case n < 5:
		w.oddTimer(r, rng)
	case n < 8:
		w.daemon(r+1, rng)
		w.daemon(r, rng)
	case n < 13:
		w.gate(r, rng)
	case n < 17:
		w.ranges(r, rng)
	case n < 21:
		w.relabel(r, rng)
	case n < 28:
		w.waver(r, rng)
	case n < 31:
		w.move(r, rng)
	default:
		w.extreme(r, rng)
	}
}

// ends are numbers at which sums and products go wrong, of 32 bits and of 64.
var (
	ends32 = []int64{0, 1, 1_000_000_000, math.MaxInt32 - 1, math.MaxInt32}
	ends64 = append(ends32[:len(ends32):len(ends32)], 1<<33, 1<<53, math.MaxInt64/1_000_000_000+1, math.MaxInt64)
)

// sizes at the ends of what a quantity holds.
var endSizes = []string{"0", "1m", "1n", "9223372036854775807", "9223372036854775807m", "8Ei", "9E", "100E"}

// mistake is an object with numbers of people who mistype: %s is its metadata, and mistyped fills in the rest.
type mistake struct {
	kind events.Resource
	body string
}

var extremes = []mistake{
	{events.Deployments, `"apiVersion":"apps/v1","kind":"Deployment",%s,"spec":{"replicas":I,"minReadySeconds":I,"progressDeadlineSeconds":I,"revisionHistoryLimit":I,
"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":I,"maxUnavailable":I}},"selector":{"matchLabels":{"x":"d"}},"template":{"metadata":{"labels":{"x":"d"}},"spec":P}}`},
	{events.ReplicaSets, `"apiVersion":"apps/v1","kind":"ReplicaSet",%s,"spec":{"replicas":I,"minReadySeconds":I,"selector":{"matchLabels":{"x":"r"}},"template":{"metadata":{"labels":{"x":"r"}},"spec":P}}`},
	{events.StatefulSets, `"apiVersion":"apps/v1","kind":"StatefulSet",%s,"spec":{"replicas":I,"minReadySeconds":I,"ordinals":{"start":I},"podManagementPolicy":"Parallel",
"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":I,"maxUnavailable":I}},"selector":{"matchLabels":{"x":"s"}},"template":{"metadata":{"labels":{"x":"s"}},"spec":P}}`},
	{events.Jobs, `"apiVersion":"batch/v1","kind":"Job",%s,"spec":{"parallelism":I,"completions":I,"backoffLimit":I,"activeDeadlineSeconds":L,"ttlSecondsAfterFinished":I,"template":{"spec":N}}`},
	{events.DaemonSets, `"apiVersion":"apps/v1","kind":"DaemonSet",%s,"spec":{"minReadySeconds":I,"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":I}},
"selector":{"matchLabels":{"x":"a"}},"template":{"metadata":{"labels":{"x":"a"}},"spec":P}}`},
	{events.CronJobs, `"apiVersion":"batch/v1","kind":"CronJob",%s,"spec":{"schedule":"* * * * *","startingDeadlineSeconds":L,"successfulJobsHistoryLimit":I,"failedJobsHistoryLimit":I,"suspend":true,
"jobTemplate":{"spec":{"parallelism":I,"completions":I,"template":{"spec":N}}}}`},
	{events.Budgets, `"apiVersion":"policy/v1","kind":"PodDisruptionBudget",%s,"spec":{"maxUnavailable":I,"selector":{"matchLabels":{"x":"d"}}}`},
	{events.Autoscalers, `"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler",%s,"spec":{"minReplicas":I,"maxReplicas":I,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"x"},
"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":I}}}]}`},
	{events.Pods, `"apiVersion":"v1","kind":"Pod",%s,"spec":P`},
}

// extreme is somebody who writes a number that nobody means, or scales to one.
func (w *World) extreme(r uint64, rng *rand.Rand) {
	w.fence(r, rng)
	x := extremes[rng.IntN(len(extremes))]
	k := events.Key{Resource: x.kind, Namespace: wild, Name: "x"}
	switch _, there := w.newest().Get(k); rng.IntN(5) {
	case 0:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Cascade: []string{"background", "foreground", "orphan"}[rng.IntN(3)], Items: []wire.Item{{Key: k}}})
	case 1, 2:
		if !there {
			w.ask(r+3, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(x.manifest(rng, 0))}}})
		}
		w.ask(r, wire.ChangeRequest{Operation: wire.Scale, Replicas: int32(ends32[rng.IntN(len(ends32))]), Items: []wire.Item{{Key: k}}})
	default:
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(x.manifest(rng, 1+rng.IntN(3)))}}})
	}
}

// manifest is one of them, of whose numbers so many of five are mistyped.
// None has the label of the deployment: a set that it adopts has as many pods as it wants until it is sized.
func (x mistake) manifest(rng *rand.Rand, wrong int) string {
	body := fmt.Sprintf("{"+x.body+"}", fmt.Sprintf(`"metadata":{"name":"x","namespace":%q,"labels":{"x":%q}}`, wild, []string{"r", "s"}[rng.IntN(2)]))
	return mistyped(body, wrong, rng)
}

// mistyped fills in what is drawn: I is a number of 32 bits, L one of 64, P a pod's spec, N one that ends. So many of five numbers are at an
// end, the others small.
func mistyped(body string, wrong int, rng *rand.Rand) string {
	number := func(ends []int64) string {
		if rng.IntN(5) >= wrong {
			return itoa(1 + rng.IntN(3))
		}
		return strconv.FormatInt(ends[rng.IntN(len(ends))], 10)
	}
	size := func() string {
		if rng.IntN(10) >= wrong {
			return itoa(50*(1+rng.IntN(3))) + "m"
		}
		return endSizes[rng.IntN(len(endSizes))]
	}
	pod := func(policy string) string {
		return fmt.Sprintf(`{"restartPolicy":%q,"terminationGracePeriodSeconds":%s,"tolerations":[{"key":"dedicated","operator":"Exists","effect":"NoExecute","tolerationSeconds":%s}],
"containers":[{"name":"c","image":%q,"resources":{"requests":{"cpu":%q}}}]}`, policy, number(ends64), number(ends64), []string{"one:1", "ends:1"}[rng.IntN(2)], size())
	}
	out := []byte{}
	for i := range len(body) {
		alone := i > 0 && body[i-1] == ':' && (i+1 == len(body) || body[i+1] == ',' || body[i+1] == '}')
		switch c := body[i]; {
		case alone && c == 'I':
			out = append(out, number(ends32)...)
		case alone && c == 'L':
			out = append(out, number(ends64)...)
		case alone && c == 'P':
			out = append(out, pod("Always")...)
		case alone && c == 'N':
			out = append(out, pod("Never")...)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// fence sees to it that the namespace is there and that its quota holds whatever is asked for in it.
func (w *World) fence(r uint64, rng *rand.Rand) {
	w.ask(r+1, namespaceRequest(wild))
	w.ask(r+2, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
		`{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","namespace":%q},"spec":{"hard":{"pods":"%d"}}}`, wild, 1+rng.IntN(4)))}}})
}

// throngOf is how many classes of pods one throng is: more than the scheduler looks for room for at a time.
const throngOf = 53

// throng is somebody with very many pods of which none is like another, all important, and none has room anywhere: nobody can make any for them.
func (w *World) throng(r uint64, rng *rand.Rand) {
	w.urgent(r+1, rng) // who makes the class
	var all []string
	for i := range throngOf {
		all = append(all, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"t%d","namespace":"default"},"spec":{"priorityClassName":%q,"terminationGracePeriodSeconds":5,
"containers":[{"name":"c","image":"one:1","resources":{"requests":{"cpu":"%dm"}}}]}}`, i, []string{"urgent", "pressing"}[rng.IntN(2)], 2001+i))
	}
	w.askAll(r, all)
}

// disperse takes a throng away: with pods that wait nothing can be said of the others.
func (w *World) disperse(id uint64) {
	for o := range w.newest().List(events.Pods, "default") {
		if o.Deletion == nil && o.Key.Name[0] == 't' {
			id++
			w.ask(id, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: o.Key}}})
		}
	}
}

// tame takes away, when all is mended, what never comes to rest or stands in others' way.
func (w *World) tame(id uint64, late bool) {
	w.disperse(id)
	w.ungate(id+1<<10, len(w.store.log))
	if !late {
		return
	}
	w.stopOddTimers(id + 1<<11)
	w.unhoard(id + 1<<13)
	if o := w.judge.l.objects[wildKey]; o != nil && !o.deleting {
		w.judge.strays()
		w.ask(id+1<<12, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: wildKey}}})
	}
}
