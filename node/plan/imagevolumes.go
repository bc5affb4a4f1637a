package plan

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// VolumeImage is what is known of an image that is a volume of the pod.
type VolumeImage struct {
	// There says that it is mounted. What the image's name means now is asked once, and holds as long as the pod's room: all
	// containers and all their runs see the same files.
	There bool `json:"there,omitempty"`
	// Retry is of fetching or mounting it.
	Retry Retry `json:"retry,omitzero"`
}

// Brought notes that an image is there: for a run, or mounted as a volume.
func (o Observed) Brought(op Pull) Observed {
	if op.Volume != "" {
		return o.image(op.Volume, VolumeImage{There: true})
	}
	return o.Remember(op.Container, func(k *Known) { k.Fetched(op.Run, op.Image) })
}

// NotBrought notes that an image could not be had, why, and when that is tried again.
func (o Observed) NotBrought(op Pull, now time.Time, reason, message string) Observed {
	if op.Volume != "" {
		return o.image(op.Volume, VolumeImage{Retry: o.Images[op.Volume].Retry.Failed(now, reason, message)})
	}
	return o.Remember(op.Container, func(k *Known) { k.NotFetched(op.Image, now, reason, message) })
}

func (o Observed) image(volume string, v VolumeImage) Observed {
	images := make(map[string]VolumeImage, len(o.Images)+1)
	for name, x := range o.Images {
		images[name] = x
	}
	images[volume] = v
	o.Images = images
	return o
}

// imageVolumes are the volumes that are images and that a container mounts, in the order of its mounts.
func imageVolumes(s *corev1.PodSpec, c *corev1.Container) (list []corev1.Volume) {
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && v.Image != nil })
		if i >= 0 {
			list = append(list, s.Volumes[i])
		}
	}
	return list
}

// mounted says whether the images that a container mounts are there, and plans for the first that is not. One that nobody
// mounts is never fetched.
func (p *planner) mounted(c *corev1.Container) bool {
	run := p.next(c.Name)
	if here, ok := p.o.Newest(c.Name); ok && here.Phase == Created {
		run = here.Run
	}
	for _, v := range imageVolumes(&p.row.Pod.Spec, c) {
		known := p.o.Images[v.Name]
		switch {
		case known.There:
			continue
		case p.waits(known.Retry):
			p.wait(c.Name, known.Retry.Reason, known.Retry.Message, known.Retry.Until)
		default:
			p.do(Pull{Container: c.Name, Run: run, Image: v.Image.Reference, Policy: string(v.Image.PullPolicy), Volume: v.Name})
		}
		return false
	}
	return true
}
