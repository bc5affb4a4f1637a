package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/projections"
)

// Trust anchors become a file; where none are, an empty one if that is enough, else the pod waits.
func TestTrustFiles(t *testing.T) {
	yes, plain, signer := true, "plain", "example.com/one"
	byName := &corev1.ClusterTrustBundleProjection{Name: &plain, Path: "ca.pem"}
	bySigner := &corev1.ClusterTrustBundleProjection{SignerName: &signer, LabelSelector: &metav1.LabelSelector{}, Path: "dir/ca.pem"}
	optional := &corev1.ClusterTrustBundleProjection{SignerName: &signer, Path: "ca.pem", Optional: &yes}
	row := envRow()
	volume := func(src *corev1.ClusterTrustBundleProjection) corev1.Volume {
		return corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ClusterTrustBundle: src}}}}}
	}
	for _, c := range []struct {
		src         *corev1.ClusterTrustBundleProjection
		empty, full string
	}{
		{byName, `clustertrustbundle.certificates.k8s.io "plain" not found`, "ca.pem=A 6;"},
		{bySigner, "combination of signerName and labelSelector matched zero ClusterTrustBundles", "dir/ca.pem=B 6;"},
		{optional, "", "ca.pem= 6;"},
	} {
		row.Trust = nil
		row.Pod.Spec.Volumes = []corev1.Volume{volume(c.src)}
		before := Fingerprint(row, testNode)
		if files, err := Files(row, volume(c.src), testNode); c.empty != "" && (err == nil || err.Error() != c.empty) || c.empty == "" && (err != nil || listed(files) != c.full) {
			t.Errorf("without: %q, %v, want %q", listed(files), err, c.empty)
		}
		row.Trust = map[string]projections.TrustData{
			projections.TrustName(byName):   {Anchors: "A", Bundles: 1, Position: 5},
			projections.TrustName(bySigner): {Anchors: "B", Bundles: 2, Position: 5},
		}
		files, err := Files(row, volume(c.src), testNode)
		if err != nil || listed(files) != c.full {
			t.Errorf("with: %q, %v, want %q", listed(files), err, c.full)
		}
		after := Fingerprint(row, testNode)
		if (before == after) != (c.src == optional) { // nothing is selected for it before and after
			t.Errorf("%s, then %s", before, after)
		}
		if !Refreshed(volume(c.src)) || Secret(volume(c.src)) {
			t.Error("what everybody may read follows its making, on the disk")
		}
	}
	row.Pod.Spec.Volumes = []corev1.Volume{volume(bySigner)}
	two := Fingerprint(row, testNode)
	row.Trust[projections.TrustName(bySigner)] = projections.TrustData{Anchors: "B", Bundles: 1, Position: 5}
	if Fingerprint(row, testNode) == two {
		t.Error("one of two bundles went, and nothing is written")
	}
}
