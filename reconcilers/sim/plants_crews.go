package sim

import "github.com/stave-run/stave/reconcilers"

func inParallel(spec map[string]any) { spec["podManagementPolicy"] = "Parallel" }

// boundless lets all pods of a set be away at once.
func boundless(spec map[string]any) {
	reconcilers.Field(reconcilers.Field(spec, "updateStrategy"), "rollingUpdate")["maxUnavailable"] = "100%"
}
