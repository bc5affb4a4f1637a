package projections

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// What pods have to come in at the Kubernetes API, under Kubernetes' names.
const (
	// DefaultAccount is the ServiceAccount of pods that name none.
	DefaultAccount = "default"
	// AccessDir is where a container finds its token, the API's certificate and
	// its namespace.
	AccessDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	// RootFile is the certificate's file there, and its key in the ConfigMap.
	RootFile  = "ca.crt"
	tokenFile = "token"
	tokenLife = 3607 // seconds, as in Kubernetes
)

// RootKey is the ConfigMap with the certificate that vouches for the API. There is
// one while the API is served; each namespace has a copy.
var RootKey = events.Key{Resource: events.ConfigMaps, Namespace: "kube-system", Name: "kube-root-ca.crt"}

// GatewayKey is the service by which pods find the API.
var GatewayKey = events.Key{Resource: events.Services, Namespace: "default", Name: "kubernetes"}

// APIPort is where each node takes what pods send to the API.
const APIPort = 6443

// MountsAccess says whether a pod's containers get a token, as its spec or its
// ServiceAccount wish. Without an API there is nothing to come in at.
func (s State) MountsAccess(o *Object) bool {
	if _, ok := s.Get(RootKey); !ok {
		return false
	}
	spec := o.PodSpec()
	if spec.AutomountServiceAccountToken != nil {
		return *spec.AutomountServiceAccountToken
	}
	account := s.accountOf(o.Key.Namespace, spec)
	if account == nil {
		return true
	}
	wish := As[*corev1.ServiceAccount](account).AutomountServiceAccountToken
	return wish == nil || *wish
}

// withPullSecrets is a pod's spec with the Secrets that its images are pulled with:
// its account's, when it names none itself.
func (s State) withPullSecrets(o *Object, spec *corev1.PodSpec) *corev1.PodSpec {
	if len(spec.ImagePullSecrets) > 0 {
		return spec
	}
	account := s.accountOf(o.Key.Namespace, spec)
	if account == nil || len(As[*corev1.ServiceAccount](account).ImagePullSecrets) == 0 {
		return spec
	}
	next := *spec
	next.ImagePullSecrets = As[*corev1.ServiceAccount](account).ImagePullSecrets
	return &next
}

// ConfigFor are the ConfigMaps and Secrets that a pod needs: those that its spec
// mentions, and those of its account for pulling.
func (s State) ConfigFor(o *Object) []Mention { return ConfigOf(s.withPullSecrets(o, o.PodSpec())) }

// AccountOf is the ServiceAccount that a pod runs as.
func AccountOf(spec *corev1.PodSpec) string {
	if spec.ServiceAccountName != "" {
		return spec.ServiceAccountName
	}
	return DefaultAccount
}

// AccessVolume is the name of the volume with a pod's token. It follows from the
// uid, so that nobody has to keep it.
func AccessVolume(uid events.UID) string { return "kube-api-access-" + events.ChildSuffix(uid, 0) }

// FillAccess gives a pod what Kubernetes' admission would: the account's name, and
// in mounts a volume with its token for each container that mounts nothing of its
// own there. Doing it again changes nothing. The pod has to be the caller's own.
func FillAccess(p *corev1.Pod, uid events.UID, mounts bool) {
	p.Spec.ServiceAccountName = AccountOf(&p.Spec)
	p.Spec.DeprecatedServiceAccount = p.Spec.ServiceAccountName
	name := AccessVolume(uid)
	if !mounts || slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }) {
		return
	}
	init, used := withAccess(p.Spec.InitContainers, name)
	main, also := withAccess(p.Spec.Containers, name)
	if used || also {
		p.Spec.InitContainers, p.Spec.Containers = init, main
		p.Spec.Volumes = append(slices.Clip(p.Spec.Volumes), accessVolume(name))
	}
}

// withAccess is containers with the volume where a token is looked for, and whether any
// has it so; the containers given stay as they are.
func withAccess(list []corev1.Container, volume string) ([]corev1.Container, bool) {
	out, used := slices.Clone(list), false
	for i := range out {
		c := &out[i]
		if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == AccessDir }) {
			continue
		}
		used = true
		c.VolumeMounts = append(slices.Clip(c.VolumeMounts), corev1.VolumeMount{Name: volume, ReadOnly: true, MountPath: AccessDir})
	}
	return out, used
}

func accessVolume(name string) corev1.Volume {
	mode, life := corev1.ProjectedVolumeSourceDefaultMode, int64(tokenLife)
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: tokenFile, ExpirationSeconds: &life}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: RootKey.Name}, Items: []corev1.KeyToPath{{Key: RootFile, Path: RootFile}}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
	}}}}
}

// ForgetAccess takes out of a pod that was read, and comes back, what FillAccess
// gave it: the log has the pod without.
func ForgetAccess(next, before *corev1.Pod, uid events.UID) {
	if before.Spec.ServiceAccountName == "" && next.Spec.ServiceAccountName == DefaultAccount {
		next.Spec.ServiceAccountName, next.Spec.DeprecatedServiceAccount = "", ""
	}
	if len(before.Spec.ImagePullSecrets) == 0 {
		next.Spec.ImagePullSecrets = nil // its account's; a pod's own cannot come later
	}
	name := AccessVolume(uid)
	if slices.ContainsFunc(before.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }) {
		return
	}
	next.Spec.Volumes = without(next.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	for _, list := range [][]corev1.Container{next.Spec.InitContainers, next.Spec.Containers} {
		for i := range list {
			list[i].VolumeMounts = without(list[i].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name })
		}
	}
}

// without is a list's rest, nil when nothing is left: an empty list in a manifest
// would be a difference.
func without[T any](list []T, gone func(T) bool) []T {
	var out []T
	for _, x := range list {
		if !gone(x) {
			out = append(out, x)
		}
	}
	return out
}
