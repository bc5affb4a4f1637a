package table

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// volumes are a pod's, or, moved to the right by in, a template's.
func (p page) volumes(in string, list []corev1.Volume) {
	if len(list) == 0 {
		p.line(0, "%sVolumes:\t%s", in, none)
		return
	}
	p.line(0, "%sVolumes:", in)
	for _, v := range list {
		p.line(1, "%s%s:", strings.Repeat(" ", len(in)/2), v.Name)
		switch {
		case v.EmptyDir != nil:
			limit := "<unset>"
			if q := v.EmptyDir.SizeLimit; q != nil && q.Sign() > 0 {
				limit = q.String()
			}
			p.line(2, "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)")
			p.line(2, "Medium:\t%s", v.EmptyDir.Medium)
			p.line(2, "SizeLimit:\t%s", limit)
		case v.ConfigMap != nil:
			p.line(2, "Type:\tConfigMap (a volume populated by a ConfigMap)")
			p.line(2, "Name:\t%s", v.ConfigMap.Name)
			p.line(2, "Optional:\t%t", v.ConfigMap.Optional != nil && *v.ConfigMap.Optional)
		case v.Secret != nil:
			p.line(2, "Type:\tSecret (a volume populated by a Secret)")
			p.line(2, "SecretName:\t%s", v.Secret.SecretName)
			p.line(2, "Optional:\t%t", v.Secret.Optional != nil && *v.Secret.Optional)
		case v.HostPath != nil:
			p.hostPath(v.HostPath)
		case v.Image != nil:
			p.line(2, "Type:\tImage (a container image or OCI artifact)")
			p.line(2, "Reference:\t%s", v.Image.Reference)
			p.line(2, "PullPolicy:\t%s", v.Image.PullPolicy)
		case v.PersistentVolumeClaim != nil:
			p.line(2, "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)")
			p.line(2, "ClaimName:\t%s", v.PersistentVolumeClaim.ClaimName)
			p.line(2, "ReadOnly:\t%t", v.PersistentVolumeClaim.ReadOnly)
		case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
			t := &v.Ephemeral.VolumeClaimTemplate.Spec
			p.line(2, "Type:\tEphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)")
			p.line(2, "StorageClass:\t%s", setOr(t.StorageClassName))
			p.line(2, "Capacity:\t%s", storage(t.Resources.Requests))
			p.line(2, "Access Modes:\t%s", modes(t.AccessModes))
			p.line(2, "VolumeMode:\t%s", volumeMode(t.VolumeMode))
		case v.Projected != nil:
			p.line(2, "Type:\tProjected (a volume that contains injected data from multiple sources)")
			for i := range v.Projected.Sources {
				p.projected(&v.Projected.Sources[i])
			}
		case v.DownwardAPI != nil:
			p.line(2, "Type:\tDownwardAPI (a volume populated by information about the pod)")
			p.line(2, "Items:")
			for _, x := range v.DownwardAPI.Items {
				p.line(3, "%s", downward(x))
			}
		default:
			p.line(2, "<unknown>")
		}
	}
}

// projected is one source of a projected volume.
func (p page) projected(x *corev1.VolumeProjection) {
	switch {
	case x.Secret != nil:
		p.line(2, "SecretName:\t%s", x.Secret.Name)
		p.line(2, "Optional:\t%t", is(x.Secret.Optional))
	case x.ConfigMap != nil:
		p.line(2, "ConfigMapName:\t%s", x.ConfigMap.Name)
		p.line(2, "Optional:\t%t", is(x.ConfigMap.Optional))
	case x.DownwardAPI != nil:
		p.line(2, "DownwardAPI:\ttrue")
	case x.ServiceAccountToken != nil && x.ServiceAccountToken.ExpirationSeconds != nil:
		p.line(2, "TokenExpirationSeconds:\t%d", *x.ServiceAccountToken.ExpirationSeconds)
	}
}

func downward(x corev1.DownwardAPIVolumeFile) string {
	if x.FieldRef != nil {
		return x.FieldRef.FieldPath + " -> " + x.Path
	}
	if x.ResourceFieldRef != nil {
		return x.ResourceFieldRef.Resource + " -> " + x.Path
	}
	return x.Path
}

func is(b *bool) bool { return b != nil && *b }

// hostPath is a directory or file of the node, of a pod's volume or a PersistentVolume.
func (p page) hostPath(v *corev1.HostPathVolumeSource) {
	kind := ""
	if v.Type != nil {
		kind = string(*v.Type)
	}
	p.line(2, "Type:\tHostPath (bare host directory volume)")
	p.line(2, "Path:\t%s", v.Path)
	p.line(2, "HostPathType:\t%s", kind)
}
