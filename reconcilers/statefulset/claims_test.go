package statefulset_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/stage"
	"github.com/stave-run/stave/reconcilers/statefulset"
)

const (
	keep = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	drop = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
)

// stored is a set of so many pods that each claim a volume.
func stored(replicas int, scaled, deleted appsv1.PersistentVolumeClaimRetentionPolicyType) func(*appsv1.StatefulSetSpec) {
	return func(s *appsv1.StatefulSetSpec) {
		s.Replicas = n(replicas)
		s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenScaled: scaled, WhenDeleted: deleted}
		s.Template.Spec.Volumes = []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		s.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data", Labels: map[string]string{"tier": "gold"}},
			Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}}
	}
}

func (b *bench) claim(name string) *projections.Object { return b.Get(stage.In(events.Claims, name)) }

// owners are the names of a claim's owners.
func (b *bench) owners(name string) string {
	b.t.Helper()
	o := b.claim(name)
	if o == nil {
		b.t.Fatalf("no claim %s", name)
	}
	var out []string
	for _, r := range o.References() {
		out = append(out, r.Kind+"/"+r.Name)
	}
	return strings.Join(out, " ")
}

// Each pod has a claim of its own, made before it and kept for the next one of its name.
func TestEachPodHasItsClaims(t *testing.T) {
	b := begin(t, stored(2, keep, keep))
	b.Apply(events.Key{Resource: events.StorageClasses, Name: "local"}, `{"metadata":{"name":"local","annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"stave.run/local"}`)
	b.all()
	c := projections.As[*corev1.PersistentVolumeClaim](b.claim("data-web-1"))
	if c.Labels["tier"] != "gold" || c.Labels["app"] != "web" || *c.Spec.StorageClassName != "local" || len(c.Finalizers) != 1 || *c.Spec.VolumeMode != corev1.PersistentVolumeFilesystem {
		t.Errorf("%+v", c)
	}
	spec := b.pod("web-1").PodSpec()
	if len(spec.Volumes) != 2 || spec.Volumes[0].Name != "data" || spec.Volumes[0].EmptyDir != nil || spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data-web-1" || spec.Volumes[1].EmptyDir == nil {
		t.Errorf("%+v", spec.Volumes)
	}
	uid := b.claim("data-web-1").UID
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(1) })
	b.all()
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2) })
	b.all()
	if b.claim("data-web-1").UID != uid || b.owners("data-web-1") != "" {
		t.Errorf("the claim was not kept: %s", b.owners("data-web-1"))
	}
}

// The retention policy is told by the owners of the claims, as in Kubernetes, and changes with it.
func TestRetention(t *testing.T) {
	for _, c := range []struct {
		scaled, deleted appsv1.PersistentVolumeClaimRetentionPolicyType
		first, last     string // owners while the set has two pods, and those of the second while it leaves
	}{{keep, keep, "", ""}, {keep, drop, "StatefulSet/web", "StatefulSet/web"}, {drop, keep, "", "Pod/web-1"}, {drop, drop, "StatefulSet/web", "Pod/web-1"}} {
		b := begin(t, stored(2, keep, keep))
		b.all()
		b.edit(func(s *appsv1.StatefulSetSpec) {
			s.PersistentVolumeClaimRetentionPolicy.WhenScaled, s.PersistentVolumeClaimRetentionPolicy.WhenDeleted = c.scaled, c.deleted
		})
		b.decide()
		if got := b.owners("data-web-0"); got != c.first {
			t.Errorf("%s, %s: owned by %q, want %q", c.scaled, c.deleted, got, c.first)
		}
		b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(1) })
		b.decide()
		b.has("web-0 (web-1)")
		if got := b.owners("data-web-1"); got != c.last {
			t.Errorf("%s, %s: scaled down it is owned by %q, want %q", c.scaled, c.deleted, got, c.last)
		}
	}
}

// Where pods do not wait for each other, nor does what becomes of their claims wait for them to be ready.
func TestRetentionDoesNotWaitInParallel(t *testing.T) {
	for policy, want := range map[appsv1.PodManagementPolicyType]string{appsv1.ParallelPodManagement: "StatefulSet/web", appsv1.OrderedReadyPodManagement: ""} {
		b := begin(t, func(s *appsv1.StatefulSetSpec) {
			stored(1, keep, keep)(s)
			s.PodManagementPolicy = policy
		})
		b.decide()
		b.edit(func(s *appsv1.StatefulSetSpec) { s.PersistentVolumeClaimRetentionPolicy.WhenDeleted = drop })
		b.decide()
		if got := b.owners("data-web-0"); got != want {
			t.Errorf("%s: the claim of a pod that is not ready is owned by %q, want %q", policy, got, want)
		}
	}
}

// A claim that goes with its pod is waited for: the next pod of the name begins with an
// empty volume, or not at all.
func TestAClaimThatGoesIsWaitedFor(t *testing.T) {
	b := begin(t, stored(2, drop, keep))
	b.all()
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(1) })
	b.decide()
	b.gone("web-1")
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2) })
	d := b.decide()
	if b.has("web-0"); len(d.Because) != 1 || d.Because[0].About != stage.In(events.Claims, "data-web-1") {
		t.Errorf("%+v", d.Because)
	}
	was := b.claim("data-web-1")
	if _, err := b.Run(gc.Reconciler{}, was.Key); err != nil || b.claim("data-web-1").Deletion == nil {
		t.Fatalf("nobody collects it: %v", err)
	}
	b.decide()
	b.has("web-0")
	b.Do(reconcilers.Remove(was))
	keys := statefulset.Reconciler{}.Keys(b.State, projections.Change{Key: was.Key, Before: was})
	if len(keys) != 1 || keys[0] != b.k {
		t.Fatalf("its end wakes %v", keys)
	}
	b.decide()
	if b.has("web-0 web-1"); b.claim("data-web-1").UID == was.UID {
		t.Error("it is the same claim")
	}
}

// A claim that somebody took from under a pod without a node is made again; what others
// control is left to them.
func TestClaimsOfOthers(t *testing.T) {
	b := begin(t, stored(1, drop, drop))
	b.Apply(stage.In(events.Claims, "data-web-0"), `{"metadata":{"name":"data-web-0","namespace":"default"},"spec":{}}`)
	o := b.claim("data-web-0")
	body := reconcilers.Same(o)
	yes := true
	body.Owner, body.Owners = events.Owned([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "u", Controller: &yes}})
	b.Do(reconcilers.Change(o, body))
	b.all()
	if got := b.owners("data-web-0"); got != "ConfigMap/x" {
		t.Errorf("owned by %q", got)
	}
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2) })
	b.decide()
	b.has("web-0 web-1")
	b.Do(reconcilers.Remove(b.claim("data-web-1")))
	b.decide()
	if b.claim("data-web-1") == nil {
		t.Error("it is not made again")
	}
}

// Limits and quotas hold for the claims of a set too: no pod comes before its claim, the set says why, and goes on when it may.
func TestClaimsKeepWithinQuotas(t *testing.T) {
	b := begin(t, stored(3, keep, keep))
	quota := func(most string) {
		b.Apply(stage.In(events.Quotas, "disk"), `{"metadata":{"name":"disk"},"spec":{"hard":{"requests.storage":"`+most+`"}}}`)
	}
	quota("2Gi")
	b.decide()
	b.up("web-0")
	b.decide()
	b.up("web-1")
	b.decide()
	b.has("web-0 web-1")
	v, ok := b.State.Verdict(b.k)
	if want := `persistentvolumeclaims "data-web-2" is forbidden: exceeded quota: disk, requested: requests.storage=1Gi, used: requests.storage=2Gi, limited: requests.storage=2Gi`; !ok || len(v.Reasons) == 0 || v.Reasons[0].Said != want {
		t.Fatalf("it says %+v", v)
	}
	before := len(b.Log)
	if d := b.decide(); len(b.Log) != before || d.WakeAt.IsZero() {
		t.Errorf("said again, or sleeps for ever: %v", d)
	}
	quota("3Gi")
	b.decide()
	b.up("web-2")
	b.decide()
	b.has("web-0 web-1 web-2")
	if v, ok := b.State.Verdict(b.k); ok && len(v.Reasons) > 0 {
		t.Errorf("still says %+v", v)
	}

	b = begin(t, stored(1, keep, keep))
	b.Apply(stage.In(events.LimitRanges, "small"), `{"metadata":{"name":"small"},"spec":{"limits":[{"type":"PersistentVolumeClaim","max":{"storage":"500Mi"}}]}}`)
	b.decide()
	if v, ok := b.State.Verdict(b.k); b.claim("data-web-0") != nil || !ok || !strings.Contains(v.Reasons[0].Said, "maximum storage usage per PersistentVolumeClaim is 500Mi, but request is 1Gi") {
		t.Errorf("beyond the limit: %+v", v)
	}
}
