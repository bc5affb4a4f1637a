package plan

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

func secretRow() *projections.DesiredPod {
	row := envRow()
	row.Secrets = map[string]projections.SecretData{"db": {Position: 9, Data: map[string][]byte{"user": []byte("ann"), "pass": []byte("x\xff")}}}
	return row
}

func secretVar(name, secret, key string, optional bool) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref(secret), Key: key, Optional: &optional}}}
}

func TestSecretsInTheEnvironment(t *testing.T) {
	off := false
	row := secretRow()
	row.Pod.Spec.EnableServiceLinks = &off
	c := corev1.Container{EnvFrom: []corev1.EnvFromSource{{Prefix: "DB_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("db")}}},
		Env: []corev1.EnvVar{secretVar("USER", "db", "user", false), secretVar("NONE", "none", "x", true), secretVar("NOKEY", "db", "x", true), {Name: "SAYS", Value: "$(USER)"}}}
	e, err := Env(row, c, testNode, "")
	want := []string{"HOSTNAME=web", "DB_pass=x\xff", "DB_user=ann", "USER=ann", "SAYS=ann"}
	if err != nil || !slices.Equal(e.List(), want) {
		t.Errorf("%q, %v, want %q", e.List(), err, want)
	}
	for want, c := range map[string]corev1.Container{
		`secret "none" not found`:                   {EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("none")}}}},
		"couldn't find key zz in Secret default/db": {Env: []corev1.EnvVar{secretVar("X", "db", "zz", false)}},
	} {
		if _, err := Env(row, c, testNode, ""); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSecretsAsFiles(t *testing.T) {
	row := secretRow()
	volume := func(s *corev1.SecretVolumeSource) corev1.Volume {
		return corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Secret: s}}
	}
	mode := int32(0o400)
	whole := volume(&corev1.SecretVolumeSource{SecretName: "db", DefaultMode: &mode})
	if files, err := Files(row, whole, testNode); err != nil || listed(files) != "pass=x\xff 4;user=ann 4;" {
		t.Errorf("%q, %v", listed(files), err)
	}
	mixed := corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref("cfg")}},
		{Secret: &corev1.SecretProjection{LocalObjectReference: ref("db"), Items: []corev1.KeyToPath{{Key: "user", Path: "a"}}}}}}}}
	if files, err := Files(row, mixed, testNode); err != nil || listed(files) != "a=ann 6;b=2 6;" {
		t.Errorf("%q, %v", listed(files), err)
	}
	if !Secret(whole) || !Secret(mixed) || Secret(configVolume("cfg", nil)) {
		t.Error("which volumes hold secrets is not known")
	}
	row.Pod.Spec.Volumes = []corev1.Volume{volume(&corev1.SecretVolumeSource{SecretName: "db", Items: []corev1.KeyToPath{{Key: "zz", Path: "p"}}})}
	if err := VolumesError(row, testNode); err == nil || err.Error() != `MountVolume.SetUp failed for volume "v" : secret references non-existent secret key: zz` {
		t.Error(err)
	}
	row.Pod.Spec.Volumes = []corev1.Volume{whole}
	before := Fingerprint(row, testNode)
	row.Secrets["db"] = projections.SecretData{Position: 10}
	if Fingerprint(row, testNode) == before {
		t.Error("a changed Secret is not written anew")
	}
}
