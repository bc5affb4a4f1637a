package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func taintText(list []corev1.Taint) string {
	var out []string
	for _, t := range list {
		out = append(out, t.ToString())
	}
	return strings.Join(out, " ")
}

func TestTaints(t *testing.T) {
	has := []corev1.Taint{{Key: "a", Value: "1", Effect: "NoSchedule"}, {Key: "a", Effect: "NoExecute"}, {Key: "b", Effect: "NoSchedule"}}
	for args, want := range map[string]string{
		"c=1:NoSchedule":                        "a=1:NoSchedule a:NoExecute b:NoSchedule c=1:NoSchedule",
		"a-":                                    "b:NoSchedule",
		"a:NoExecute-":                          "a=1:NoSchedule b:NoSchedule",
		"a=1:NoSchedule":                        "a=1:NoSchedule a:NoExecute b:NoSchedule",
		"a=2:NoSchedule --overwrite":            "a=2:NoSchedule a:NoExecute b:NoSchedule",
		"b- x.y/z:PreferNoSchedule":             "a=1:NoSchedule a:NoExecute x.y/z:PreferNoSchedule",
		"a=2:NoSchedule":                        `node n already has a taint(s) with same effect(s) and --overwrite is false`,
		"z-":                                    `taint "z" not found on node n`,
		"b:NoExecute-":                          `taint "b:NoExecute" not found on node n`,
		"a=1":                                   "invalid taint spec: a=1",
		"a=1:Never":                             "invalid taint effect: Never, unsupported taint effect",
		"a=1:NoSchedule-":                       "what is taken away has no value",
		"a b:NoSchedule":                        "invalid taint spec: a",
		strings.Repeat("x", 70) + ":NoSchedule": "must be no more than 63",
	} {
		words, overwrite := strings.CutSuffix(args, " --overwrite")
		p, err := parseTaints(strings.Fields(words))
		var got []corev1.Taint
		if err == nil {
			got, err = p.change("n", has, overwrite)
		}
		text := taintText(got)
		if err != nil {
			text = err.Error()
		}
		if err == nil && text != want || err != nil && !strings.Contains(text, want) {
			t.Errorf("%s: %q, want %q", args, text, want)
		}
	}
	if taintText(has) != "a=1:NoSchedule a:NoExecute b:NoSchedule" {
		t.Error("what was there has changed")
	}
}

// TestDrainSortsPods has one of each sort.
func TestDrainSortsPods(t *testing.T) {
	yes := true
	pod := func(name, owner string, phase corev1.PodPhase, empty bool) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}, Status: corev1.PodStatus{Phase: phase}}
		if owner != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: owner, Controller: &yes}}
		}
		if empty {
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		}
		return p
	}
	pods := []*corev1.Pod{pod("web", "ReplicaSet", "Running", false), pod("daemon", "DaemonSet", "Running", true), pod("alone", "", "Running", false),
		pod("cache", "ReplicaSet", "Running", true), pod("done", "", "Succeeded", true)}
	got := (&drainCmd{}).sort(pods)
	want := "[cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): n/daemon, " +
		"cannot delete Pods with local storage (use --delete-emptydir-data to override): n/cache, " +
		"cannot delete Pods that declare no controller (use --force to override): n/alone]"
	if err := got.refusal(); err == nil || err.Error() != want || len(got.warnings) > 0 {
		t.Errorf("%v", err)
	}
	got = (&drainCmd{IgnoreDaemonsets: true, Force: true, DeleteEmptydirData: true}).sort(pods)
	if got.refusal() != nil || len(got.pods) != 4 || len(got.warnings) != 3 {
		t.Errorf("%+v", got)
	}
}
