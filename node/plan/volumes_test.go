package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func configVolume(name string, edit func(*corev1.ConfigMapVolumeSource)) corev1.Volume {
	src := &corev1.ConfigMapVolumeSource{LocalObjectReference: ref(name)}
	if edit != nil {
		edit(src)
	}
	return corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: src}}
}

func downItem(path, field string) corev1.DownwardAPIVolumeFile {
	return corev1.DownwardAPIVolumeFile{Path: path, FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}
}

func listed(files []File) string {
	var b strings.Builder
	for _, f := range files {
		b.WriteString(f.Path + "=" + string(f.Data) + " " + string(rune('0'+f.Mode>>6)) + ";")
	}
	return b.String()
}

func TestFiles(t *testing.T) {
	mode, own, yes := int32(0o600), int32(0o400), true
	row := envRow()
	row.ConfigMaps["cfg"] = projections.ConfigData{Data: map[string]string{"b": "2"}, BinaryData: map[string][]byte{"a": {'1'}}}
	row.Pod.Labels["b"] = `say "x"`
	row.Pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("3Mi")}
	down := []corev1.DownwardAPIVolumeFile{downItem("labels", "metadata.labels"), downItem("uid", "metadata.uid"), downItem("who", "metadata.labels['app']"),
		{Path: "mem", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "a", Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}, Mode: &own}}
	for _, c := range []struct {
		name string
		v    corev1.Volume
		want string
	}{
		{"whole", configVolume("cfg", nil), "a=1 6;b=2 6;"},
		{"items and modes", configVolume("cfg", func(s *corev1.ConfigMapVolumeSource) {
			s.DefaultMode, s.Items = &mode, []corev1.KeyToPath{{Key: "b", Path: "dir/b"}, {Key: "a", Path: "z", Mode: &own}}
		}), "dir/b=2 6;z=1 4;"},
		{"optional and absent", configVolume("none", func(s *corev1.ConfigMapVolumeSource) { s.Optional = &yes }), ""},
		{"optional, a key absent", configVolume("cfg", func(s *corev1.ConfigMapVolumeSource) {
			s.Optional, s.Items = &yes, []corev1.KeyToPath{{Key: "none", Path: "n"}, {Key: "b", Path: "b"}}
		}), "b=2 6;"},
		{"downward", corev1.Volume{VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: down}}},
			"labels=app=\"web\"\nb=\"say \\\"x\\\"\" 6;mem=3 4;uid=u1 6;who=web 6;"},
		{"projected", corev1.Volume{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &own, Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref("cfg")}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: down[2:3]}}}}}}, "a=1 4;b=2 4;who=web 4;"},
		{"empty directory", corev1.Volume{VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}, ""},
	} {
		files, err := Files(row, c.v, testNode)
		if err != nil || listed(files) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, listed(files), err, c.want)
		}
	}
}

func TestVolumesError(t *testing.T) {
	row := envRow()
	for _, c := range []struct {
		name string
		v    corev1.Volume
		want string
	}{
		{"no ConfigMap", configVolume("none", nil), `MountVolume.SetUp failed for volume "v" : configmap "none" not found`},
		{"no key", configVolume("cfg", func(s *corev1.ConfigMapVolumeSource) { s.Items = []corev1.KeyToPath{{Key: "k", Path: "p"}} }),
			`MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: k`},
		{"another kind", corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}},
			`MountVolume.SetUp failed for volume "v" : only emptyDir, configMap, secret, downwardAPI, projected, hostPath, image, persistentVolumeClaim and ephemeral are supported`},
		{"of a driver", corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "a.b"}}},
			`MountVolume.SetUp failed for volume "v" : driver name a.b not found in the list of registered CSI drivers`},
		{"of nothing known", corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{}}}}},
			`MountVolume.SetUp failed for volume "v" : only configMap, secret, downwardAPI, clusterTrustBundle, podCertificate and serviceAccountToken are supported in a projected volume`},
	} {
		row.Pod.Spec.Volumes = []corev1.Volume{c.v}
		if err := VolumesError(row, testNode); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	row.Pod.Spec.Volumes = []corev1.Volume{configVolume("none", nil)}
	d := Decide(row, Observed{Sandbox: true, Remains: true}, testNode, t0)
	if len(d.Ops) != 1 || d.Ops[0].(Report).Facts[0].Reason != ContainerCreating || !d.WakeAt.IsZero() {
		t.Errorf("a pod without its ConfigMap: %s", d)
	}
}

// What a volume is made of can change; what it is not made of changes nothing.
func TestFingerprint(t *testing.T) {
	row := envRow()
	row.ConfigMaps["cfg"] = projections.ConfigData{Position: events.At(5, 0)}
	row.Pod.Spec.Volumes = []corev1.Volume{configVolume("cfg", nil),
		{Name: "d", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{downItem("l", "metadata.labels")}}}}}
	seen := map[string]string{}
	note := func(what string, fresh bool) {
		t.Helper()
		f := Fingerprint(row, testNode)
		if was, ok := seen[f]; ok == fresh {
			t.Errorf("%s: fingerprint %s, as after %q", what, f, was)
		}
		seen[f] = what
	}
	note("first", true)
	row.Pod.Annotations["other"] = "x"
	row.Position = 99
	note("an annotation that no file shows", false)
	row.Pod.Labels["new"] = "y"
	note("a label", true)
	row.ConfigMaps["cfg"] = projections.ConfigData{Position: events.At(9, 0)}
	note("the ConfigMap", true)
	delete(row.ConfigMaps, "cfg")
	note("no ConfigMap", true)
}

func TestMemorySize(t *testing.T) {
	limit := func(s string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(s)}}}
	}
	half := resource.MustParse("32Mi")
	for _, c := range []struct {
		name       string
		containers []corev1.Container
		own        *resource.Quantity
		node       Node
		want       int64
	}{
		{"the node", []corev1.Container{{}, limit("1Mi")}, nil, testNode, 8 << 30},
		{"the limits", []corev1.Container{limit("40Mi"), limit("24Mi")}, nil, testNode, 64 << 20},
		{"its own", []corev1.Container{limit("64Mi")}, &half, testNode, 32 << 20},
		{"nothing known", []corev1.Container{{}}, nil, Node{}, 0},
	} {
		if got := MemorySize(&corev1.PodSpec{Containers: c.containers}, &corev1.EmptyDirVolumeSource{SizeLimit: c.own}, c.node); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestExpandPath(t *testing.T) {
	e := Environment{values: map[string]string{"POD": "web-1"}}
	if got, err := e.ExpandPath("logs/$(POD)/$$(POD)"); err != nil || got != "logs/web-1/$(POD)" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := e.ExpandPath("$(NONE)/x"); err == nil || err.Error() != `missing value for "NONE"` {
		t.Errorf("%v", err)
	}
}
