package manifest

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// defaultPod fills in a pod's spec, or a template's.
func defaultPod(s *corev1.PodSpec) {
	setTo(&s.DNSPolicy, corev1.DNSClusterFirst)
	setTo(&s.RestartPolicy, corev1.RestartPolicyAlways)
	setTo(&s.SchedulerName, corev1.DefaultSchedulerName)
	pointTo(&s.SecurityContext, corev1.PodSecurityContext{})
	pointTo(&s.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	if *s.TerminationGracePeriodSeconds < 0 {
		*s.TerminationGracePeriodSeconds = 1 // as Kubernetes takes it
	}
	if s.ServiceAccountName == "" {
		s.ServiceAccountName = s.DeprecatedServiceAccount
	}
	s.DeprecatedServiceAccount = s.ServiceAccountName
	for i := range s.InitContainers {
		defaultContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		defaultContainer(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		defaultContainer((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
	if s.HostNetwork {
		hostPorts(s.Containers)
		hostPorts(s.InitContainers)
	}
	for i := range s.Volumes {
		defaultVolume(&s.Volumes[i])
	}
	for i := range s.TopologySpreadConstraints {
		pointTo(&s.TopologySpreadConstraints[i].NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor)
		pointTo(&s.TopologySpreadConstraints[i].NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore)
	}
}

func hostPorts(containers []corev1.Container) {
	for i := range containers {
		for j := range containers[i].Ports {
			setTo(&containers[i].Ports[j].HostPort, containers[i].Ports[j].ContainerPort)
		}
	}
}

func defaultContainer(c *corev1.Container) {
	setTo(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	setTo(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	setTo(&c.ImagePullPolicy, pullPolicy(c.Image))
	for i := range c.Ports {
		setTo(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			setTo(&from.FieldRef.APIVersion, "v1")
		}
	}
	requestsFromLimits(&c.Resources)
	defaultProbe(c.LivenessProbe)
	defaultProbe(c.ReadinessProbe)
	defaultProbe(c.StartupProbe)
	if c.Lifecycle != nil {
		defaultHook(c.Lifecycle.PostStart)
		defaultHook(c.Lifecycle.PreStop)
	}
}

// pullPolicy is Always for the tag latest, said or implied: such an image moves.
func pullPolicy(image string) corev1.PullPolicy {
	name, _, pinned := strings.Cut(image, "@")
	last := name[strings.LastIndexByte(name, '/')+1:]
	_, tag, tagged := strings.Cut(last, ":")
	if tag == "latest" || !tagged && !pinned {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

// requestsFromLimits lets a container that only names limits ask for them. In
// Kubernetes the pod gets this when it is made of its template; our pods are
// their template, so it stands there.
func requestsFromLimits(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits { //stave:sorted each entry is written to another map, in any order
		if _, ok := r.Requests[name]; ok {
			continue
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		r.Requests[name] = limit.DeepCopy()
	}
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	setTo(&p.TimeoutSeconds, 1)
	setTo(&p.PeriodSeconds, 10)
	setTo(&p.SuccessThreshold, 1)
	setTo(&p.FailureThreshold, 3)
	defaultHTTP(p.HTTPGet)
	if p.GRPC != nil {
		pointTo(&p.GRPC.Service, "")
	}
}

func defaultHook(h *corev1.LifecycleHandler) {
	if h != nil {
		defaultHTTP(h.HTTPGet)
	}
}

func defaultHTTP(g *corev1.HTTPGetAction) {
	if g == nil {
		return
	}
	setTo(&g.Path, "/")
	setTo(&g.Scheme, corev1.URISchemeHTTP)
	if g.Port == intstr.FromString("") {
		g.Port = intstr.FromInt32(0)
	}
}

// defaultTokenLife is how long a token in a volume lasts, in seconds.
const defaultTokenLife = 60 * 60

// defaultCertificateLife is how long a pod's certificate lasts at most, in seconds.
const defaultCertificateLife = 24 * 60 * 60

func defaultVolume(v *corev1.Volume) {
	if v.VolumeSource == (corev1.VolumeSource{}) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	if v.ConfigMap != nil {
		pointTo(&v.ConfigMap.DefaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
	}
	if v.Secret != nil {
		pointTo(&v.Secret.DefaultMode, corev1.SecretVolumeSourceDefaultMode)
	}
	if v.Image != nil {
		setTo(&v.Image.PullPolicy, pullPolicy(v.Image.Reference))
	}
	if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
		defaultClaim(&v.Ephemeral.VolumeClaimTemplate.Spec)
	}
	if v.HostPath != nil {
		pointTo(&v.HostPath.Type, corev1.HostPathUnset)
	}
	if v.DownwardAPI != nil {
		pointTo(&v.DownwardAPI.DefaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
		defaultDownward(v.DownwardAPI.Items)
	}
	if v.Projected != nil {
		pointTo(&v.Projected.DefaultMode, corev1.ProjectedVolumeSourceDefaultMode)
		for _, s := range v.Projected.Sources {
			if s.DownwardAPI != nil {
				defaultDownward(s.DownwardAPI.Items)
			}
			if s.PodCertificate != nil {
				pointTo(&s.PodCertificate.MaxExpirationSeconds, defaultCertificateLife)
			}
			if s.ServiceAccountToken != nil {
				pointTo(&s.ServiceAccountToken.ExpirationSeconds, defaultTokenLife)
			}
		}
	}
}

func defaultDownward(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			setTo(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}
