package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/projections/table"
)

// workload is as much of an object with a pod template as its pods are found by.
type workload struct {
	Spec struct {
		Selector *metav1.LabelSelector   `json:"selector"`
		Template *corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

func (w workload) selector() string {
	s, err := metav1.LabelSelectorAsSelector(w.Spec.Selector)
	if err != nil || s.Empty() {
		return ""
	}
	return s.String()
}

// leaf is where a pod is.
type leaf struct {
	name  string
	state string
	began time.Time
	node  string
	image string // that it waits for; empty when it does not
	ready bool
	// broken is why it will not become ready by itself; empty while it may.
	broken string
}

// rank orders leaves: what is broken, what is under way, what is ready.
func (l leaf) rank() int {
	switch {
	case l.broken != "":
		return 2
	case !l.ready:
		return 1
	}
	return 0
}

// leafOf tells where a pod is.
func leafOf(p *corev1.Pod) leaf {
	l := leaf{name: "pod/" + p.Name, node: p.Spec.NodeName, state: table.PodStatus(p)}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil:
			l.ready, l.state = true, "ready"
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			l.state = "waits for a node: " + c.Message
		}
	}
	if l.ready || p.DeletionTimestamp != nil {
		return l
	}
	boxes, statuses := p.Spec.Containers, p.Status.ContainerStatuses
	if waits := firstWaiting(p.Status.InitContainerStatuses); waits != nil {
		boxes, statuses = p.Spec.InitContainers, p.Status.InitContainerStatuses
	}
	waits := firstWaiting(statuses)
	switch {
	case waits == nil && l.state == string(corev1.PodRunning):
		l.state = "runs, not ready yet"
	case waits != nil:
		l.waiting(waits, boxes)
	}
	return l
}

// firstWaiting is the first container that has not begun; what ended well is
// done with.
func firstWaiting(all []corev1.ContainerStatus) *corev1.ContainerStatus {
	for i := range all {
		if all[i].State.Waiting != nil {
			return &all[i]
		}
	}
	return nil
}

func (l *leaf) waiting(c *corev1.ContainerStatus, boxes []corev1.Container) {
	w := c.State.Waiting
	l.state = w.Reason
	if w.Message != "" {
		l.state += ": " + w.Message
	}
	for _, b := range boxes {
		if b.Name == c.Name && w.Reason == "ContainerCreating" {
			l.image = b.Image
		}
	}
	if hopeless(w) {
		l.broken = fmt.Sprintf("%s, container %s: %s", l.name, c.Name, l.state)
	}
}

// hopeless tells whether an image will not come without somebody doing
// something: its registry has answered and does not have it.
func hopeless(w *corev1.ContainerStateWaiting) bool {
	switch w.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
		return true
	case "ErrImagePull", "ImagePullBackOff":
		return strings.Contains(w.Message, ": not found: ") || strings.Contains(w.Message, ": unauthorized: ")
	}
	return false
}

// leaves tells where pods are, again and again: of the hundreds that are waited for a few have changed each time, and only
// those are decoded.
type leaves struct {
	template *corev1.PodTemplateSpec // of their workload, if they have one
	known    map[*byte]leaf          // by the text that a leaf was read from
}

// of tells where these pods are. A pod that waits for an image which its
// workload no longer names is on its way out: it is not held against it.
func (f *leaves) of(pods []json.RawMessage) []leaf {
	out, known := make([]leaf, 0, len(pods)), make(map[*byte]leaf, len(pods))
	for _, raw := range pods {
		if len(raw) == 0 {
			continue
		}
		l, ok := f.known[&raw[0]]
		if !ok {
			var p corev1.Pod
			if json.Unmarshal(raw, &p) != nil {
				continue
			}
			if l = leafOf(&p); f.template != nil && !sameImages(&p.Spec, &f.template.Spec) {
				l.broken = ""
			}
		}
		known[&raw[0]] = l
		out = append(out, l)
	}
	f.known = known
	return out
}

func sameImages(a, b *corev1.PodSpec) bool {
	return fmt.Sprint(imagesOf(a)) == fmt.Sprint(imagesOf(b))
}

func imagesOf(spec *corev1.PodSpec) []string {
	var out []string
	for _, c := range append(append([]corev1.Container(nil), spec.InitContainers...), spec.Containers...) {
		out = append(out, c.Name+"="+c.Image)
	}
	return out
}
