package wire

import "github.com/stave-run/stave/events"

// PullSubjects are where all nodes tell how far their pulls are.
const PullSubjects = "pull.*"

// PullSubject is where a node tells how far its pulls are. Nobody stores it:
// that an image is being pulled and that it is here are facts of the log, the
// bytes in between are not.
func PullSubject(node string) string { return "pull." + events.Token(node) }

// Pulling is how far a node's pull of an image is.
type Pulling struct {
	Node  string `json:"node"`
	Image string `json:"image"` // as the pod's manifest names it
	Done  int64  `json:"done"`  // compressed bytes
	Total int64  `json:"total"` // grows as manifests become known
}
