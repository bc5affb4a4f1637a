package birth_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/cronjob"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/replicaset"
	"github.com/stave-run/stave/reconcilers/stage"
	"github.com/stave-run/stave/reconcilers/statefulset"
)

var web = stage.In(events.ReplicaSets, "web")

// asking is a controller about whose pods others are asked first, with a set of three.
func asking(replicas string) (*stage.World, replicaset.Reconciler) {
	w := stage.New()
	w.Apply(web, `{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":`+replicas+`,"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	return w, replicaset.Reconciler{Guards: func(projections.State, events.Resource) birth.Guard {
		return birth.Guard{Asks: func(o events.Object) bool { return o.GetLabels()["app"] == "web" }, Bars: func(events.Object) string { return "asked too early" }}
	}}
}

func decided(w *stage.World, r reconcilers.Reconciler) reconcilers.Decision {
	d := r.Decide(w.State, web, w.Now)
	w.Do(d.Events...)
	return d
}

// TestWishes: pods about which others are asked are wished for until they are there, so many at a time, and none is made before.
func TestWishes(t *testing.T) {
	w, r := asking("40")
	d := decided(w, r)
	if len(d.Wishes) != reconcilers.MaxWishes || d.More || len(d.Because) != 1 || !d.WakeAt.Equal(w.Now.Add(birth.Again)) {
		t.Fatalf("%d wishes, more: %v, because %v, wakes at %v", len(d.Wishes), d.More, d.Because, d.WakeAt)
	}
	about := birth.SumOf(d.Wishes[0])
	if pod := d.Wishes[0].Object.(*corev1.Pod); pod.Name != "" || pod.GenerateName != "web-" || pod.OwnerReferences[0].Name != "web" || birth.SumOf(d.Wishes[1]) != about {
		t.Errorf("others are asked about %+v", pod)
	}
	if again := decided(w, r); len(again.Events) != 0 || len(again.Wishes) != len(d.Wishes) {
		t.Errorf("%d wishes, and %d events", len(again.Wishes), len(again.Events))
	}
	for range 50 { // ten answers too many
		w.Do(birth.Answered(r, w.State, web, birth.Answer{About: about}, w.Now)...)
	}
	if n := w.Get(web).Tally.Pods; n != 40 {
		t.Errorf("%d pods", n)
	}
	if d := decided(w, r); len(d.Wishes) != 0 {
		t.Errorf("%d wishes more", len(d.Wishes))
	}
}

// TestAnswered: what was asked about is made as others leave it, if it is still wanted and may be.
func TestAnswered(t *testing.T) {
	changed := func(d reconcilers.Decision, change func(*corev1.Pod)) *corev1.Pod {
		pod := d.Wishes[0].Object.(*corev1.Pod).DeepCopy()
		change(pod)
		return pod
	}
	for _, c := range []struct {
		name   string
		answer func(d reconcilers.Decision, a *birth.Answer)
		before func(w *stage.World)
		pods   int
		said   string // in the verdict
	}{
		{"as wished", func(reconcilers.Decision, *birth.Answer) {}, nil, 1, ""},
		{"refused", func(_ reconcilers.Decision, a *birth.Answer) { a.Said = "no" }, nil, 0, "no"},
		{"changed", func(d reconcilers.Decision, a *birth.Answer) {
			a.Object = changed(d, func(p *corev1.Pod) {
				p.Spec.Containers = append(p.Spec.Containers, *p.Spec.Containers[0].DeepCopy())
				p.Spec.Containers[1].Name = "beside"
			})
		}, nil, 1, ""},
		{"changed into what is none", func(d reconcilers.Decision, a *birth.Answer) {
			a.Object = changed(d, func(p *corev1.Pod) { p.Spec.Containers = nil })
		}, nil, 0, `Pod "web-`},
		{"over a quota by what others added", func(d reconcilers.Decision, a *birth.Answer) {
			a.Object = changed(d, func(p *corev1.Pod) { p.Spec.PriorityClassName = "" })
		}, func(w *stage.World) {
			w.Apply(stage.In(events.Quotas, "q"), `{"metadata":{"name":"q"},"spec":{"hard":{"pods":"0"}}}`)
		}, 0, "exceeded quota: q"},
		{"wanted no more", func(reconcilers.Decision, *birth.Answer) {}, func(w *stage.World) {
			w.Apply(web, strings.Replace(string(w.Get(web).Raw), `"replicas":1`, `"replicas":0`, 1))
		}, 0, ""},
		{"wanted otherwise", func(_ reconcilers.Decision, a *birth.Answer) { a.About = "other" }, nil, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r := asking("1")
			d := decided(w, r)
			a := birth.Answer{About: birth.SumOf(d.Wishes[0])}
			c.answer(d, &a)
			if c.before != nil {
				c.before(w)
			}
			drafts := birth.Answered(r, w.State, web, a, w.Now)
			w.Do(drafts...)
			if n := w.Get(web).Tally.Pods; n != c.pods {
				t.Fatalf("%d pods", n)
			}
			if said := birth.Barred(w.State, w.Get(web)); c.said == "" && said != "" || !strings.Contains(said, c.said) {
				t.Errorf("it says %q", said)
			}
			if again := birth.Answered(r, w.State, web, a, w.Now); c.pods == 0 && len(again) != 0 {
				t.Errorf("it says so again: %v", again)
			}
			if c.pods > 0 && a.Object != nil {
				made := w.Get(drafts[0].Child.Key).Typed().(*corev1.Pod)
				if len(made.Spec.Containers) != 2 || made.OwnerReferences[0].Name != "web" || made.Name == "" || made.Labels["app"] != "web" || drafts[0].Cause == 0 {
					t.Errorf("%+v", made)
				}
			}
		})
	}
}

// TestGranted: where nobody can be asked, what is wished for is made.
func TestGranted(t *testing.T) {
	w, r := asking("3")
	d := r.Decide(w.State, web, w.Now).Granted()
	w.Do(d.Events...)
	if n := w.Get(web).Tally.Pods; n != 3 || len(d.Wishes) != 0 {
		t.Errorf("%d pods, %d wishes", n, len(d.Wishes))
	}
}

// TestWishesForAllThatIsMade: others are asked first about ReplicaSets, Jobs and claims too, in whole, under their names; they are made as
// others leave them, or what keeps them from being made is written down once.
func TestWishesForAllThatIsMade(t *testing.T) {
	asked := func(of events.Resource) birth.Guards {
		return func(projections.State, events.Resource) birth.Guard {
			return birth.Guard{Asks: func(o events.Object) bool {
				k, _ := events.KindFor(o.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind())
				return k.Resource == of
			}}
		}
	}
	pod := `"template":{"metadata":{"labels":{"app":"web"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}`
	always := strings.Replace(pod, "Never", "Always", 1)
	for _, c := range []struct {
		of     events.Resource
		spec   string
		child  events.Resource
		by     func(birth.Guards) reconcilers.Reconciler
		whole  func(events.Object) bool
		before int // decisions until it is wished for
	}{
		{events.Deployments, `{"replicas":2,"selector":{"matchLabels":{"app":"web"}},` + always + `}`, events.ReplicaSets,
			func(g birth.Guards) reconcilers.Reconciler { return deployment.Reconciler{Guards: g} },
			func(o events.Object) bool {
				rs := o.(*appsv1.ReplicaSet)
				return *rs.Spec.Replicas == 2 && rs.Spec.Template.Spec.Containers[0].Image == "i" && strings.HasPrefix(rs.Name, "web-")
			}, 0},
		{events.CronJobs, `{"schedule":"* * * * *","jobTemplate":{"spec":{` + pod + `}}}`, events.Jobs,
			func(g birth.Guards) reconcilers.Reconciler { return cronjob.Reconciler{Guards: g} },
			func(o events.Object) bool {
				return o.(*batchv1.Job).Spec.Template.Spec.Containers[0].Image == "i" && strings.HasPrefix(o.GetName(), "web-")
			}, 0},
		{events.StatefulSets, `{"replicas":1,"selector":{"matchLabels":{"app":"web"}},` + always + `,
			"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}`, events.Claims,
			func(g birth.Guards) reconcilers.Reconciler { return statefulset.Reconciler{Guards: g} },
			func(o events.Object) bool {
				return o.GetName() == "data-web-0" && !o.(*corev1.PersistentVolumeClaim).Spec.Resources.Requests.Storage().IsZero()
			}, 1},
	} {
		t.Run(string(c.child), func(t *testing.T) {
			k, r := stage.In(c.of, "web"), c.by(asked(c.child))
			w := stage.New()
			w.Apply(k, `{"metadata":{"name":"web","namespace":"default"},"spec":`+c.spec+`}`)
			w.Now = w.Now.Add(time.Minute)
			decide := func() reconcilers.Decision {
				d := r.Decide(w.State, k, w.Now)
				w.Do(d.Events...)
				return d
			}
			d := decide()
			for range c.before {
				d = decide()
			}
			if len(d.Wishes) != 1 || d.Wishes[0].Key.Resource != c.child || !c.whole(d.Wishes[0].Object) {
				t.Fatalf("%+v", d)
			}
			answer := birth.Answer{About: birth.SumOf(d.Wishes[0]), Said: "no"}
			w.Do(birth.Answered(r, w.State, k, answer, w.Now)...)
			for range 2 {
				if d = decide(); len(d.Events) != 0 || birth.Barred(w.State, w.Get(k)) != "no" {
					t.Fatalf("after a refusal: %+v, and it says %q", d.Events, birth.Barred(w.State, w.Get(k)))
				}
			}
			answer.Said, answer.Object = "", d.Wishes[0].Object.DeepCopyObject().(events.Object)
			answer.Object.SetAnnotations(map[string]string{"outside": "was here"})
			w.Do(birth.Answered(r, w.State, k, answer, w.Now)...)
			made := w.Get(d.Wishes[0].Key)
			if made == nil || made.Typed().GetAnnotations()["outside"] == "" || !c.whole(made.Typed()) {
				t.Fatalf("%+v; it says %q", made, birth.Barred(w.State, w.Get(k)))
			}
			decide()
			if d = decide(); len(d.Wishes) != 0 || birth.Barred(w.State, w.Get(k)) != "" {
				t.Errorf("it is there, and: %+v, %q", d.Wishes, birth.Barred(w.State, w.Get(k)))
			}
		})
	}
}
