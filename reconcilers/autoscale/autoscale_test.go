package autoscale

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

var (
	web    = stage.In(events.Deployments, "web")
	scaler = stage.In(events.Autoscalers, "web")
)

const cpuHalf = `"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]`

// world is a deployment with an autoscaler of so many millicores a pod, and what nodes measure of its pods.
type world struct {
	*stage.World
	samples Samples
	pods    int
}

func newWorld(replicas int, spec string) *world {
	w := &world{World: stage.New(), samples: Samples{}}
	w.Node("n1", "64", "64Gi")
	w.Apply(web, fmt.Sprintf(`{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":%d,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}}}}}`, replicas))
	w.Apply(scaler, `{"metadata":{"name":"web","namespace":"default"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},`+spec+`}}`)
	w.fill()
	w.Now = w.Now.Add(10 * time.Minute) // what CPU their start took is forgotten
	return w
}

// pod makes one more pod of the deployment, ready or not, that uses so many millicores; -1: nobody measures it.
func (w *world) pod(ready bool, cpu int64) *projections.Object {
	w.pods++
	o := w.Apply(stage.PodKey(fmt.Sprintf("web-%d", w.pods)), `{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"100m","memory":"64Mi"}}}]}}`)
	w.Assign(o, "n1")
	if ready {
		w.Ready(o)
	}
	if cpu >= 0 {
		w.use(o, cpu)
	}
	return o
}

func (w *world) use(o *projections.Object, cpu int64) {
	w.samples[o.UID] = Sample{At: w.Now, Containers: map[string]Use{"c": {CPU: cpu, Memory: 32 << 20, Window: time.Second}}}
}

// load makes all pods use so many millicores.
func (w *world) load(cpu int64) {
	for _, o := range w.Pods() {
		w.use(o, cpu)
	}
}

// fill makes pods until there are as many as are wanted, and takes the rest away.
func (w *world) fill() {
	all := w.Pods()
	for i := len(all); i < w.replicas(); i++ {
		w.pod(true, 0)
	}
	for i := w.replicas(); i < len(all); i++ {
		w.Do(reconcilers.Remove(all[i]))
	}
}

func (w *world) replicas() int {
	return int(*projections.As[*appsv1.Deployment](w.Get(web)).Spec.Replicas)
}

// tick measures, appends what somebody has to know, and decides; it tells whether anything was written.
func (w *world) tick(t interface{ Fatal(...any) }) bool {
	before := len(w.Log)
	if m, err := Measure(w.State, w.Get(scaler), w.samples, w.Now); err == nil && Moved(w.Get(scaler), m, w.Now) {
		w.Do(reconcilers.Report(scaler, events.ScalerReported{UID: w.Get(scaler).UID, Measured: &m}))
	}
	if _, err := w.Run(Reconciler{}, scaler); err != nil {
		t.Fatal(err)
	}
	return len(w.Log) > before
}

// pass lets time pass, tick by tick.
func (w *world) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for range int(d / (15 * time.Second)) {
		w.Now = w.Now.Add(15 * time.Second)
		w.tick(t)
		w.fill()
	}
}

func (w *world) status() autoscalingv2.HorizontalPodAutoscalerStatus {
	o, _ := w.State.Object(scaler, w.Now)
	h, _ := o.(*autoscalingv2.HorizontalPodAutoscaler)
	return h.Status
}

func (w *world) condition(t autoscalingv2.HorizontalPodAutoscalerConditionType) string {
	for _, c := range w.status().Conditions {
		if c.Type == t {
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

// A load that is too high brings pods, one that ends takes them away after five minutes of calm; nobody writes while nothing changes.
func TestLoadScales(t *testing.T) {
	w := newWorld(2, `"minReplicas":1,"maxReplicas":10,`+cpuHalf)
	w.load(90) // 90 % of what is requested, where 50 % is wanted
	w.tick(t)
	if w.replicas() != 4 || w.condition(autoscalingv2.AbleToScale) != "True SucceededRescale" || w.condition(autoscalingv2.ScalingActive) != "True ValidMetricFound" {
		t.Fatalf("%d replicas, %+v", w.replicas(), w.status())
	}
	if st := w.status(); st.DesiredReplicas != 4 || st.LastScaleTime == nil || *st.CurrentMetrics[0].Resource.Current.AverageUtilization != 90 || st.CurrentMetrics[0].Resource.Current.AverageValue.String() != "90m" {
		t.Errorf("%+v", st)
	}
	w.fill()
	w.load(45)
	w.pass(t, time.Minute)
	if w.replicas() != 4 || w.condition(autoscalingv2.AbleToScale) != "True ReadyForNewScale" {
		t.Errorf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.AbleToScale))
	}
	n := len(w.Log)
	w.pass(t, time.Hour)
	if len(w.Log) != n {
		t.Errorf("%d events in an hour in which nothing changes", len(w.Log)-n)
	}
	w.load(1)
	w.pass(t, 4*time.Minute)
	if w.replicas() != 4 || w.condition(autoscalingv2.AbleToScale) != "True ScaleDownStabilized" {
		t.Errorf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.AbleToScale))
	}
	w.pass(t, 2*time.Minute)
	if w.replicas() != 1 {
		t.Errorf("%d replicas, %+v", w.replicas(), w.status())
	}
	told := false
	for _, e := range w.Log {
		if r, err := events.Decode[events.ScalerReported](e); err == nil && r.Scaled != nil && r.Scaled.From == 2 {
			told = r.Scaled.To == 4 && r.Scaled.Why == "cpu resource utilization (percentage of request) above target" && r.Scaled.Told == "cpu 90 % of 50 %"
		}
	}
	if !told {
		t.Error("the log does not say why")
	}
}

// A leap goes no farther than to twice as many pods, or four, at a look; and never beyond the maximum.
func TestLeapsAreLimited(t *testing.T) {
	w := newWorld(1, `"minReplicas":1,"maxReplicas":6,`+cpuHalf)
	w.load(1000)
	w.tick(t)
	if w.replicas() != 4 || w.condition(autoscalingv2.ScalingLimited) != "True ScaleUpLimit" {
		t.Fatalf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.ScalingLimited))
	}
	w.fill()
	w.load(1000)
	w.Now = w.Now.Add(6 * time.Minute)
	w.tick(t)
	if w.replicas() != 6 || w.condition(autoscalingv2.ScalingLimited) != "True TooManyReplicas" {
		t.Errorf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.ScalingLimited))
	}
}

// What somebody set beyond the bounds is brought back without any measure; zero switches an autoscaler off.
func TestBounds(t *testing.T) {
	for _, c := range []struct{ has, want int }{{1, 2}, {9, 5}, {3, 3}, {0, 0}} {
		w := newWorld(c.has, `"minReplicas":2,"maxReplicas":5,`+cpuHalf)
		w.samples = Samples{}
		w.tick(t)
		if w.replicas() != c.want {
			t.Errorf("%d became %d, want %d", c.has, w.replicas(), c.want)
		}
		if off := w.condition(autoscalingv2.ScalingActive) == "False ScalingDisabled"; off != (c.has == 0) {
			t.Errorf("%d: %s", c.has, w.condition(autoscalingv2.ScalingActive))
		}
	}
}

// What cannot be measured is told in Kubernetes' words, and scales nothing down.
func TestWhatCannotBeMeasured(t *testing.T) {
	pods := `"metrics":[{"type":"Pods","pods":{"metric":{"name":"packets"},"target":{"type":"AverageValue","averageValue":"1"}}}]`
	both := `"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}},{"type":"External","external":{"metric":{"name":"queue"},"target":{"type":"Value","value":"1"}}}]`
	for name, c := range map[string]struct {
		spec   string
		cpu    int64
		want   int
		active string
	}{
		"no metrics":            {cpuHalf, -1, 3, "False FailedGetResourceMetric"},
		"a metric of others":    {pods, 10, 3, "False FailedGetPodsMetric"},
		"one of two, and calm":  {both, 1, 3, "False FailedGetExternalMetric"},
		"one of two, and a lot": {both, 80, 5, "True ValidMetricFound"},
	} {
		w := newWorld(3, `"minReplicas":1,"maxReplicas":9,`+c.spec)
		if w.samples = (Samples{}); c.cpu >= 0 {
			w.load(c.cpu)
		}
		w.tick(t)
		w.Now = w.Now.Add(10 * time.Minute)
		w.tick(t)
		if w.replicas() != c.want || c.want == 3 && w.condition(autoscalingv2.ScalingActive) != c.active {
			t.Errorf("%s: %d replicas, %+v", name, w.replicas(), w.status())
		}
	}
}

// A target that is not there, and one that two autoscalers have, are told of.
func TestTargets(t *testing.T) {
	w := newWorld(2, `"minReplicas":1,"maxReplicas":9,`+cpuHalf)
	w.load(500)
	other := stage.In(events.Autoscalers, "another")
	w.Apply(other, `{"metadata":{"name":"another","namespace":"default"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},"maxReplicas":3}}`)
	w.tick(t)
	if w.replicas() != 2 || w.condition(autoscalingv2.ScalingActive) != "False AmbiguousSelector" {
		t.Errorf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.ScalingActive))
	}
	w.Do(reconcilers.Remove(w.Get(web)))
	w.tick(t)
	if w.condition(autoscalingv2.AbleToScale) != "False FailedGetScale" || !strings.Contains(fmt.Sprint(w.status().Conditions), `deployments.apps "web" not found`) {
		t.Errorf("%+v", w.status())
	}
	if keys := (Reconciler{}).Keys(w.State, projections.Change{Key: web}); len(keys) != 2 {
		t.Errorf("%v", keys)
	}
}

// Pods that are not ready, that nobody measures, that leave and that failed count as in Kubernetes.
func TestWhichPodsCount(t *testing.T) {
	for name, c := range map[string]struct {
		replicas int
		pods     func(*world)
		want     int32
	}{
		"all of them":                          {2, func(w *world) { w.load(100) }, 4},
		"within the tolerance":                 {2, func(w *world) { w.load(54) }, 2},
		"a pending one needs nothing, up":      {3, func(w *world) { w.load(100); w.pending() }, 4},
		"a pending one is left out, down":      {3, func(w *world) { w.load(20); w.pending() }, 1},
		"a missing one needs nothing, up":      {2, func(w *world) { w.load(100); w.forget(0) }, 2},
		"a missing one needs its share, down":  {4, func(w *world) { w.load(10); w.forget(0) }, 3},
		"one that leaves counts for nothing":   {3, func(w *world) { w.load(100); w.Delete(w.Pods()[0].Key) }, 4},
		"one that starts counts for no CPU":    {2, func(w *world) { w.load(100); w.pod(true, 1000) }, 4},
		"more than all together cannot shrink": {2, func(w *world) { w.load(60) }, 3},
	} {
		w := newWorld(c.replicas, `"maxReplicas":50,`+cpuHalf)
		c.pods(w)
		m, err := Measure(w.State, w.Get(scaler), w.samples, w.Now)
		if err != nil || m.Replicas != c.want {
			t.Errorf("%s: %+v, %v, want %d", name, m, err, c.want)
		}
	}
}

// pending makes the first pod one that has not begun.
func (w *world) pending() {
	w.Do(reconcilers.Remove(w.Pods()[0]))
	w.pod(false, -1)
}

func (w *world) forget(i int) { delete(w.samples, w.Pods()[i].UID) }

// Kubernetes' rules for average values and for single containers.
func TestValuesAndContainers(t *testing.T) {
	value := `"metrics":[{"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"16Mi"}}}]`
	container := `"metrics":[{"type":"ContainerResource","containerResource":{"name":"cpu","container":%q,"target":{"type":"Utilization","averageUtilization":50}}}]`
	for _, c := range []struct {
		spec string
		want int32
		said string
	}{
		{value, 4, ""}, {fmt.Sprintf(container, "c"), 4, ""}, {fmt.Sprintf(container, "d"), -1, "no metrics returned"},
		{strings.Replace(cpuHalf, "cpu", "example.com/gpu", 1), -1, "missing request for example.com/gpu in container c of Pod web-1"},
	} {
		w := newWorld(2, `"maxReplicas":9,`+c.spec)
		w.load(100)
		m, err := Measure(w.State, w.Get(scaler), w.samples, w.Now)
		if err != nil || m.Replicas != c.want || !strings.Contains(m.Metrics[0].Said, c.said) {
			t.Errorf("%s: %+v, %v", c.spec, m, err)
		}
	}
}

// A behavior says how far and how fast, and how long to wait in each direction.
func TestBehavior(t *testing.T) {
	up := `"behavior":{"scaleUp":{"stabilizationWindowSeconds":60,"selectPolicy":"Max","policies":[{"type":"Pods","value":1,"periodSeconds":60}]},"scaleDown":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Percent","value":50,"periodSeconds":60}]}},`
	w := newWorld(2, `"minReplicas":1,"maxReplicas":9,`+up+cpuHalf)
	w.load(45)
	w.tick(t)
	w.load(200)
	w.Now = w.Now.Add(15 * time.Second)
	w.tick(t)
	if w.replicas() != 2 || w.condition(autoscalingv2.AbleToScale) != "True ScaleUpStabilized" {
		t.Fatalf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.AbleToScale))
	}
	w.pass(t, 75*time.Second)
	if w.replicas() != 3 || w.condition(autoscalingv2.ScalingLimited) != "True ScaleUpLimit" {
		t.Errorf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.ScalingLimited))
	}
	w = newWorld(8, `"minReplicas":1,"maxReplicas":9,`+up+cpuHalf)
	w.load(1)
	w.Now = w.Now.Add(15 * time.Second)
	w.tick(t)
	if w.replicas() != 4 || w.condition(autoscalingv2.ScalingLimited) != "True ScaleDownLimit" {
		t.Errorf("%d replicas, %s", w.replicas(), w.condition(autoscalingv2.ScalingLimited))
	}
	w = newWorld(8, `"minReplicas":1,"maxReplicas":9,`+strings.Replace(up, `"selectPolicy":"Max","policies":[{"type":"Percent"`, `"selectPolicy":"Disabled","policies":[{"type":"Percent"`, 1)+cpuHalf)
	w.load(1)
	w.tick(t)
	if w.replicas() != 8 {
		t.Errorf("%d replicas, and to scale down is disabled", w.replicas())
	}
}

// An object of a definition is scaled where its definition says.
func TestObjectsOfDefinitions(t *testing.T) {
	w := newWorld(2, `"maxReplicas":9,`+cpuHalf)
	w.Apply(events.Key{Resource: events.Definitions, Name: "crews.x.org"}, `{"metadata":{"name":"crews.x.org"},"spec":{"group":"x.org","scope":"Namespaced","names":{"plural":"crews","kind":"Crew"},
		"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{"specReplicasPath":".spec.size.pods","statusReplicasPath":".status.n","labelSelectorPath":".status.of"}}}]}}`)
	crew := stage.In("crews.x.org", "web")
	o := w.Apply(crew, `{"apiVersion":"x.org/v1","kind":"Crew","metadata":{"name":"web","namespace":"default"},"spec":{"size":{"pods":2}}}`)
	w.Do(reconcilers.WriteStatus(o, events.StatusWritten{Status: []byte(`{"of":"app=web"}`)}))
	w.Apply(scaler, `{"metadata":{"name":"web","namespace":"default"},"spec":{"scaleTargetRef":{"apiVersion":"x.org/v1","kind":"Crew","name":"web"},"maxReplicas":9,`+cpuHalf+`}}`)
	w.load(100)
	w.tick(t)
	if raw := string(w.Get(crew).Raw); !strings.Contains(raw, `"pods":4`) || w.replicas() != 2 {
		t.Errorf("%s, %+v", raw, w.status())
	}
}

// Whatever is measured and set: never outside of the bounds but by a person, down only when that was asked for all through
// the window, and never while a metric is missing. What is decided is a function of the log.
func TestAutoscalersKeepTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.IntRange(1, 4).Draw(t, "least")
		most := least + rapid.IntRange(0, 6).Draw(t, "more")
		w := newWorld(rapid.IntRange(least, most).Draw(t, "replicas"), fmt.Sprintf(`"minReplicas":%d,"maxReplicas":%d,`, least, most)+cpuHalf)
		busy := w.Now // when more than the least was asked for last
		for range rapid.IntRange(1, 40).Draw(t, "ticks") {
			w.Now = w.Now.Add(15 * time.Second)
			missing := false
			switch cpu := rapid.SampledFrom([]int64{-1, 0, 5, 45, 60, 100, 400}).Draw(t, "cpu"); {
			case cpu < 0:
				w.samples, missing = Samples{}, true
			default:
				w.load(cpu)
			}
			before := w.replicas()
			if m, err := Measure(w.State, w.Get(scaler), w.samples, w.Now); err == nil && int(m.Replicas) >= before {
				busy = w.Now
			}
			w.tick(t)
			after := w.replicas()
			switch {
			case after < least || after > most:
				t.Fatalf("%d replicas, of %d to %d", after, least, most)
			case after < before && missing:
				t.Fatalf("from %d to %d, and nobody knows why", before, after)
			case after < before && w.Now.Sub(busy) < calm:
				t.Fatalf("from %d to %d, %s after that many were asked for", before, after, w.Now.Sub(busy))
			}
			w.fill()
		}
		again := projections.Empty()
		for _, e := range w.Log {
			again, _ = projections.Apply(again, e)
		}
		if a, b := (Reconciler{}).Decide(w.State, scaler, w.Now), (Reconciler{}).Decide(again, scaler, w.Now); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("another fold decides %v, not %v", b, a)
		}
	})
}

// A policy that lets as many come as can be written lets them come.
func TestBehaviorWithoutBounds(t *testing.T) {
	for _, policy := range []string{`{"type":"Pods","value":2147483647,"periodSeconds":60}`, `{"type":"Percent","value":2147483647,"periodSeconds":60}`} {
		w := newWorld(2, `"minReplicas":1,"maxReplicas":9,"behavior":{"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[`+policy+`]}},`+cpuHalf)
		w.load(200)
		if w.tick(t); w.replicas() != 8 {
			t.Errorf("%s: %d replicas", policy, w.replicas())
		}
	}
}

// What the manifest's defaults make of a behavior is what is followed.
func TestDefaults(t *testing.T) {
	h := &autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{}}}
	manifest.Default(h)
	if b := h.Spec.Behavior; len(b.ScaleUp.Policies) != 2 || len(b.ScaleDown.Policies) != 1 || *b.ScaleUp.StabilizationWindowSeconds != 0 || b.ScaleDown.StabilizationWindowSeconds != nil || window(b.ScaleDown, calm) != calm {
		t.Errorf("%+v", b)
	}
	if m := h.Spec.Metrics; len(m) != 1 || m[0].Resource.Name != corev1.ResourceCPU || *m[0].Resource.Target.AverageUtilization != 80 {
		t.Errorf("%+v", m)
	}
}
