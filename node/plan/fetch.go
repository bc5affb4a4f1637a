package plan

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Fetched notes that an image is there for a run.
func (k *Known) Fetched(run int, image string) {
	k.Image, k.Ref, k.Retry = run, image, Retry{}
}

// NotFetched notes that an image could not be had, and when that is tried again. Failures with another image do not count.
func (k *Known) NotFetched(image string, now time.Time, reason, message string) {
	if k.Ref != image {
		k.Ref, k.Retry = image, Retry{}
	}
	k.Retry = k.Retry.Failed(now, reason, message)
}

// of is what is known of fetching an image: nothing, when what is known is of another one.
func (k Known) of(image string) (run int, retry Retry) {
	if k.Ref != "" && k.Ref != image {
		return 0, Retry{}
	}
	return k.Image, k.Retry
}

// PullPolicy is the container's, or Kubernetes' default for its image's tag.
func PullPolicy(c corev1.Container) string {
	if c.ImagePullPolicy != "" {
		return string(c.ImagePullPolicy)
	}
	if tag(c.Image) == "latest" {
		return string(corev1.PullAlways)
	}
	return string(corev1.PullIfNotPresent)
}
