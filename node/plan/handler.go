package plan

import (
	"fmt"

	"github.com/stave-run/stave/projections"
)

// Handler is how nodes run pods; there is no other way yet.
const Handler = "runc"

// handlerError says why a pod cannot have the runtime that it wants, in the words of a
// kubelet and containerd.
func handlerError(row *projections.DesiredPod) error {
	const begins = "Failed to create pod sandbox: "
	switch {
	case row.Classless && row.Pod.Spec.RuntimeClassName != nil:
		return fmt.Errorf(begins+"%s %q not found", "runtimeclass.node.k8s.io", *row.Pod.Spec.RuntimeClassName)
	case row.Handler != "" && row.Handler != Handler:
		return fmt.Errorf(begins+"failed to get sandbox runtime: no runtime for %q is configured", row.Handler)
	}
	return nil
}
