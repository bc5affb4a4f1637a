package why_test

import (
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
)

// Who asks why a container cannot be made is told what it waits for and what to do.
func TestMissingThingsHaveAFix(t *testing.T) {
	for _, c := range []struct{ reason, said, waits, fix string }{
		{"ContainerCreating", `MountVolume.SetUp failed for volume "v" : configmap "late" not found`,
			"configmap/late", "stave create configmap late, or make it optional in pod/p"},
		{"CreateContainerConfigError", "couldn't find key k in ConfigMap default/c", "key k of configmap/c", "stave edit configmap/c: add k"},
		{"ContainerCreating", `MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: k`,
			"the key k", "add the key k to the ConfigMap, or correct the items of the volume in pod/p"},
		{"CreateContainerConfigError", "container has runAsNonRoot and image will run as root (pod: \"p_default(u)\", container: c)",
			"a user that is not root", "set securityContext.runAsUser to a number above 0 in pod/p"},
		{"ContainerCreating", `MountVolume.SetUp failed for volume "v" : hostPath type check failed: /a b is not a directory`, "n1 to start it", ""},
		{"ContainerCreating", `MountVolume.SetUp failed for volume "v" : hostPath type check failed: /a is not a directory`,
			"/a to be a directory on n1", "make it there, or correct the hostPath's type in pod/p"},
		{"CreateContainerConfigError", `cannot load seccomp profile "/d/x.json": open /d/x.json: no such file or directory`,
			"/d/x.json on n1", "put the profile there, or name another in pod/p"},
		{"CreateContainerConfigError", `failed to prepare subPath for volumeMount "v" of container "c": subPath "a/b" leads out of its volume`,
			`subPath "a/b" to stay in its volume`, "remove the link that leads out, or correct the subPath in pod/p"},
		{"CreateContainerError", "something else", "n1 to start it", ""},
	} {
		l := foldtest.Nginx(1)
		pod := foldtest.Key(events.Pods, "p")
		l.Create(pod, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
		l.Assign("n1", pod)
		l.Saw(pod, events.Fact{Kind: events.FactBackoff, Container: "c", Run: 1, Reason: c.reason, Message: c.said})
		if a := ask(l, pod); a.WaitsFor != c.waits || a.Fix != c.fix {
			t.Errorf("%s\nwaits for %q, want %q\nfix %q, want %q", c.said, a.WaitsFor, c.waits, a.Fix, c.fix)
		}
	}
}
