package plan

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// noVolumes is the fingerprint of a pod without content in its volumes; never empty, which means "not written".
const noVolumes = "-"

// Fingerprint changes when what has to be written into the pod's volumes does: with a ConfigMap, or with what the pod
// says of itself. It is asked before each step, so contents that can be large are told by their position.
func Fingerprint(row *projections.DesiredPod, n Node) string {
	s := noVolumes
	for _, v := range row.Pod.Spec.Volumes {
		for _, src := range sources(v) {
			switch {
			case src.ConfigMap != nil:
				s += fmt.Sprintf(" %s:%d", v.Name, row.ConfigMaps[src.ConfigMap.Name].Position)
			case src.Secret != nil:
				s += fmt.Sprintf(" %s:%d", v.Name, row.Secrets[src.Secret.Name].Position)
			case src.ClusterTrustBundle != nil:
				t := row.Trust[projections.TrustName(src.ClusterTrustBundle)]
				s += fmt.Sprintf(" %s:%d/%d", v.Name, t.Bundles, t.Position)
			case src.DownwardAPI != nil:
				files, err := downwardFiles(row, src.DownwardAPI.Items, 0, n)
				s += fmt.Sprintf(" %s:%x", v.Name, sha256.Sum256(fmt.Append(nil, files, err)))
			}
		}
	}
	return s
}

// Refreshed says whether a volume's files follow what they are made of while the pod runs.
func Refreshed(v corev1.Volume) bool { return len(sources(v)) > 0 }

// sources are what the files of a volume are made of, the later over the earlier; none for a volume of another kind.
func sources(v corev1.Volume) []corev1.VolumeProjection {
	switch {
	case v.ConfigMap != nil:
		c := v.ConfigMap
		return []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: c.LocalObjectReference, Items: c.Items, Optional: c.Optional}}}
	case v.Secret != nil:
		s := v.Secret
		return []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: s.SecretName}, Items: s.Items, Optional: s.Optional}}}
	case v.DownwardAPI != nil:
		return []corev1.VolumeProjection{{DownwardAPI: &corev1.DownwardAPIProjection{Items: v.DownwardAPI.Items}}}
	case v.Projected != nil:
		return v.Projected.Sources
	}
	return nil
}

// modeOf is that of files that do not name one.
func modeOf(v corev1.Volume) uint32 {
	var m *int32
	switch {
	case v.ConfigMap != nil:
		m = v.ConfigMap.DefaultMode
	case v.Secret != nil:
		m = v.Secret.DefaultMode
	case v.DownwardAPI != nil:
		m = v.DownwardAPI.DefaultMode
	case v.Projected != nil:
		m = v.Projected.DefaultMode
	}
	if m == nil {
		return defaultMode
	}
	return uint32(*m)
}

// defaultMode is Kubernetes' for files in volumes.
const defaultMode = 0o644

// VolumesError says which volume cannot be made and why, in Kubernetes' words.
func VolumesError(row *projections.DesiredPod, n Node) error {
	for _, v := range row.Pod.Spec.Volumes {
		if err := volumeError(row, v, n); err != nil {
			return MountError(v.Name, err)
		}
	}
	return nil
}

// MountError is what Kubernetes says of a volume that cannot be made.
func MountError(volume string, err error) error {
	return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", volume, err)
}

func volumeError(row *projections.DesiredPod, v corev1.Volume, n Node) error {
	switch {
	case v.EmptyDir != nil || v.HostPath != nil || v.VolumeSource == corev1.VolumeSource{}:
		return nil
	case v.Image != nil:
		return nil // only who mounts it waits for it
	case Refreshed(v) || v.Projected != nil:
		_, err := Files(row, v, n)
		return err
	case Claimed(v):
		return claimError(row, v)
	case v.CSI != nil:
		return fmt.Errorf("driver name %s not found in the list of registered CSI drivers", v.CSI.Driver)
	}
	return fmt.Errorf("only emptyDir, configMap, secret, downwardAPI, projected, hostPath, image, persistentVolumeClaim and ephemeral are supported")
}

// Claimed says whether a volume is what a claim has.
func Claimed(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil }

// claimError says what a claim lacks for the pod to begin with it.
func claimError(row *projections.DesiredPod, v corev1.Volume) error {
	claim := row.Pod.Name + "-" + v.Name
	if v.PersistentVolumeClaim != nil {
		claim = v.PersistentVolumeClaim.ClaimName
	}
	switch d, ok := row.Claims[v.Name]; {
	case !ok:
		return fmt.Errorf("persistentvolumeclaim %q has no volume", claim)
	case d.Barred != "":
		return errors.New(d.Barred)
	}
	return nil
}

// File is one file of a volume.
type File struct {
	Path string
	Data []byte
	Mode uint32
	// User is whose the file is; nil for root's.
	User *int64
}

// Files are those of a volume that is made of ConfigMaps, of Secrets, of trust anchors and of what the pod says of itself, by path.
func Files(row *projections.DesiredPod, v corev1.Volume, n Node) ([]File, error) {
	all := map[string]File{}
	for i, src := range sources(v) {
		var files []File
		var err error
		switch {
		case src.ConfigMap != nil:
			files, err = configFiles(row, src.ConfigMap, modeOf(v))
		case src.Secret != nil:
			files, err = secretFiles(row, src.Secret, modeOf(v))
		case src.DownwardAPI != nil:
			files, err = downwardFiles(row, src.DownwardAPI.Items, modeOf(v), n)
		case src.ServiceAccountToken != nil:
			files = tokenFiles(row, v.Name, src.ServiceAccountToken, modeOf(v))
		case src.ClusterTrustBundle != nil:
			files, err = trustFiles(row, src.ClusterTrustBundle, modeOf(v))
		case src.PodCertificate != nil:
			files = certFiles(row.Keys[projections.CertPlace{Volume: v.Name, Source: i}], src.PodCertificate, modeOf(v))
		default:
			err = fmt.Errorf("only configMap, secret, downwardAPI, clusterTrustBundle, podCertificate and serviceAccountToken are supported in a projected volume")
		}
		if err != nil {
			return nil, err
		}
		if src.ServiceAccountToken != nil || src.ClusterTrustBundle != nil || src.PodCertificate != nil {
			files = guarded(&row.Pod.Spec, files)
		}
		for _, f := range files {
			all[f.Path] = f
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b File) int { return strings.Compare(a.Path, b.Path) }), nil
}

// guarded are files of a pod's identity: where all of its containers run as one user they are that user's alone, and its group may
// read them, as in Kubernetes.
func guarded(s *corev1.PodSpec, files []File) []File {
	user, grouped := onlyUser(s), s.SecurityContext != nil && s.SecurityContext.FSGroup != nil
	if user == nil && !grouped {
		return files
	}
	for i := range files {
		files[i].Mode, files[i].User = 0o600, user
	}
	return files
}

// onlyUser is the user as whom every container of a pod runs, by its manifest; nil when they differ or one says nothing.
func onlyUser(s *corev1.PodSpec) *int64 {
	var only *int64
	for c := range Containers(s) {
		var user *int64
		if s.SecurityContext != nil {
			user = s.SecurityContext.RunAsUser
		}
		if sc := c.SecurityContext; sc != nil && sc.RunAsUser != nil {
			user = sc.RunAsUser
		}
		if user == nil || only != nil && *only != *user {
			return nil
		}
		only = user
	}
	return only
}

func configFiles(row *projections.DesiredPod, src *corev1.ConfigMapProjection, mode uint32) ([]File, error) {
	data, ok := row.ConfigMaps[src.Name]
	if !ok {
		return nil, absent("configmap", src.Name, src.Optional)
	}
	all := make(map[string][]byte, len(data.Data)+len(data.BinaryData))
	for k, v := range data.Data {
		all[k] = []byte(v)
	}
	maps.Copy(all, data.BinaryData)
	return filesOf("configmap", all, src.Items, src.Optional, mode)
}

func secretFiles(row *projections.DesiredPod, src *corev1.SecretProjection, mode uint32) ([]File, error) {
	data, ok := row.Secrets[src.Name]
	if !ok {
		return nil, absent("secret", src.Name, src.Optional)
	}
	return filesOf("secret", data.Data, src.Items, src.Optional, mode)
}

// filesOf are the items of some content, or all of it.
func filesOf(kind string, data map[string][]byte, items []corev1.KeyToPath, optional *bool, mode uint32) ([]File, error) {
	if len(items) == 0 {
		for _, k := range slices.Sorted(maps.Keys(data)) {
			items = append(items, corev1.KeyToPath{Key: k, Path: k})
		}
	}
	var out []File
	for _, it := range items {
		content, ok := data[it.Key]
		if !ok && optional != nil && *optional {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("%s references non-existent %s key: %s", kind, wordFor[kind], it.Key)
		}
		out = append(out, File{Path: it.Path, Data: content, Mode: ownMode(it.Mode, mode)})
	}
	return out, nil
}

// wordFor is how Kubernetes calls a key of a kind in that error.
var wordFor = map[string]string{"configmap": "config", "secret": "secret"}

func ownMode(own *int32, otherwise uint32) uint32 {
	if own == nil {
		return otherwise
	}
	return uint32(*own)
}

// Secret says whether a volume holds what must not be written to a disk.
func Secret(v corev1.Volume) bool {
	return slices.ContainsFunc(sources(v), func(s corev1.VolumeProjection) bool {
		return s.Secret != nil || s.ServiceAccountToken != nil || s.PodCertificate != nil
	})
}

// downwardFiles are what the pod says of itself, as files.
func downwardFiles(row *projections.DesiredPod, items []corev1.DownwardAPIVolumeFile, mode uint32, n Node) ([]File, error) {
	var out []File
	for _, it := range items {
		text, err := downward(row, it, n)
		if err != nil {
			return nil, err
		}
		out = append(out, File{Path: it.Path, Data: []byte(text), Mode: ownMode(it.Mode, mode)})
	}
	return out, nil
}

func downward(row *projections.DesiredPod, it corev1.DownwardAPIVolumeFile, n Node) (string, error) {
	switch {
	case it.ResourceFieldRef != nil:
		return resourceField(row, corev1.Container{}, it.ResourceFieldRef, n)
	case it.FieldRef == nil:
		return "", fmt.Errorf("%s: neither fieldRef nor resourceFieldRef", it.Path)
	}
	switch path := it.FieldRef.FieldPath; path {
	case "metadata.labels":
		return lines(row.Pod.Labels), nil
	case "metadata.annotations":
		return lines(row.Pod.Annotations), nil
	case "metadata.uid":
		return string(row.UID), nil
	default:
		return field(&row.Pod, path, n, "")
	}
}

// lines is a map as Kubernetes writes it into a file: key="value", by key.
func lines(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%q", k, m[k]))
	}
	return strings.Join(out, "\n")
}

// MemorySize is the bound of a volume in memory, in bytes: the smallest of its own, what all containers together may use,
// and what the node has. 0 means that none is known.
func MemorySize(spec *corev1.PodSpec, src *corev1.EmptyDirVolumeSource, n Node) int64 {
	size := n.Memory.Value()
	if limit := memoryLimit(spec); limit > 0 && (size == 0 || limit < size) {
		size = limit
	}
	if q := src.SizeLimit; q != nil && q.Value() > 0 && (size == 0 || q.Value() < size) {
		size = q.Value()
	}
	return size
}

// memoryLimit is the sum of the containers' limits, 0 when one has none.
func memoryLimit(spec *corev1.PodSpec) int64 {
	var sum int64
	for _, c := range spec.Containers {
		q, ok := c.Resources.Limits[corev1.ResourceMemory]
		if !ok {
			return 0
		}
		sum += q.Value()
	}
	return sum
}
