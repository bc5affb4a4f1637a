package plan

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// A token is made anew at four fifths of its life, or after a day; a write that
// failed is tried again when its time has come, and never in a loop.
func TestTokensAreMadeAnew(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{time.Hour: 48 * time.Minute, 10 * time.Minute: 8 * time.Minute, 365 * 24 * time.Hour: 24 * time.Hour} {
		if got := TokensDue(t0, life).Sub(t0); got != want {
			t.Errorf("of %v after %v, want %v", life, got, want)
		}
	}
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Access = true
	row = WithAccess(row)
	o := ready("a")
	o.Volumes = Fingerprint(row, testNode)
	o = o.Put(Container{Name: "a", Run: 1, ID: "x", Phase: Running, StartedAt: t0}).Remember("a", func(k *Known) { k.Run = 1 })
	o.TokensDue = t0.Add(time.Minute)
	if d := Decide(row, o, testNode, t0); writes(d) || !d.WakeAt.Equal(o.TokensDue) {
		t.Errorf("before its time: %v, wakes at %v", d.Ops, d.WakeAt)
	}
	if d := Decide(row, o, testNode, o.TokensDue); !writes(d) {
		t.Errorf("at its time: %v", d.Ops)
	}
	failed := o
	failed.Setup = Retry{Until: t0.Add(2 * time.Minute)}
	if d := Decide(row, failed, testNode, o.TokensDue); writes(d) || !d.WakeAt.Equal(failed.Setup.Until) {
		t.Errorf("after a failure: %v, wakes at %v", d.Ops, d.WakeAt)
	}
	plain := rowOf(corev1.RestartPolicyAlways, "a")
	o.TokensDue, o.Volumes = time.Time{}, Fingerprint(plain, testNode)
	if d := Decide(plain, o, testNode, t0); writes(d) {
		t.Errorf("without tokens: %v", d.Ops)
	}
}

func writes(d Decision) bool {
	for _, op := range d.Ops {
		if _, ok := op.(WriteVolumes); ok {
			return true
		}
	}
	return false
}

// The files of a token's volume, and that they may lie in memory only.
func TestTokenFiles(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Access = true
	row = WithAccess(row)
	v := row.Pod.Spec.Volumes[0]
	if err := VolumesError(row, testNode); err != nil || !Secret(v) || !HasTokens(row) {
		t.Fatalf("%v, secret %v", err, Secret(v))
	}
	row.Tokens = map[projections.TokenFile][]byte{{Volume: v.Name, Path: "token"}: []byte("t")}
	row.ConfigMaps = map[string]projections.ConfigData{"kube-root-ca.crt": {Data: map[string]string{"ca.crt": "c"}}}
	files, err := Files(row, v, testNode)
	if got, want := listed(files), "ca.crt=c 6;namespace=default 6;token=t 6;"; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	one, other, group := int64(1000), int64(1001), int64(2000)
	for _, c := range []struct {
		name string
		edit func(*corev1.PodSpec)
		mode uint32
		user *int64
	}{
		{"nobody is named", func(*corev1.PodSpec) {}, 0o644, nil},
		{"one user", func(s *corev1.PodSpec) { s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &one} }, 0o600, &one},
		{"a container's own", func(s *corev1.PodSpec) {
			s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &one}
			s.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: &other}
		}, 0o600, &other},
		{"two users", func(s *corev1.PodSpec) {
			s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &one}
			s.InitContainers = []corev1.Container{{Name: "i", SecurityContext: &corev1.SecurityContext{RunAsUser: &other}}}
		}, 0o644, nil},
		{"a group", func(s *corev1.PodSpec) { s.SecurityContext = &corev1.PodSecurityContext{FSGroup: &group} }, 0o600, nil},
		{"both", func(s *corev1.PodSpec) {
			s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &one, FSGroup: &group}
		}, 0o600, &one},
	} {
		of := *row
		of.Pod = *row.Pod.DeepCopy()
		c.edit(&of.Pod.Spec)
		files, err := Files(&of, v, testNode)
		if err != nil || len(files) != 3 || files[2].Mode != c.mode || !reflect.DeepEqual(files[2].User, c.user) {
			t.Errorf("%s: %+v, %v", c.name, files, err)
		}
		if files[0].Mode != 0o644 || files[0].User != nil {
			t.Errorf("%s: what is no secret is everybody's: %+v", c.name, files[0])
		}
	}
	if again := WithAccess(row); len(again.Pod.Spec.Volumes) != 1 || len(again.Pod.Spec.Containers[0].VolumeMounts) != 1 {
		t.Errorf("twice: %+v", again.Pod.Spec)
	}
}
