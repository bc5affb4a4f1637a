package wire

import (
	"time"

	"github.com/stave-run/stave/events"
)

// NodeMetrics is the stream that answers with one Metrics on Stdout. Metrics never
// enter the log; a node keeps those of the last hours in memory.
const NodeMetrics = "metrics"

// MetricsRequest asks what a node and its pods use, or used at a moment.
type MetricsRequest struct {
	At time.Time `json:"at,omitzero"`
}

// Metrics is what a node uses, and its running pods by namespace and name.
type Metrics struct {
	Node string       `json:"node"`
	At   time.Time    `json:"at"`
	Use  Use          `json:"use"`
	Pods []PodMetrics `json:"pods,omitempty"`
}

// PodMetrics is what the running containers of a pod use.
type PodMetrics struct {
	Namespace  string             `json:"namespace"`
	Name       string             `json:"name"`
	UID        events.UID         `json:"uid"`
	Containers []ContainerMetrics `json:"containers"`
}

// ContainerMetrics is what one container uses.
type ContainerMetrics struct {
	Name string `json:"name"`
	Use  Use    `json:"use"`
}

// Use is CPU over a window that ends now, in billionths of a core, and the
// memory that cannot be given back at once, in bytes.
type Use struct {
	CPU    uint64        `json:"cpu"`
	Memory uint64        `json:"memory"`
	Window time.Duration `json:"window"`
	// Spent is the time of cores since the beginning: of the container, or of the machine.
	Spent time.Duration `json:"spent,omitempty"`
}
