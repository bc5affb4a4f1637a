package plan

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// trustFiles is the file with the anchors that a source stands for; an empty one where nothing does and nothing has to.
func trustFiles(row *projections.DesiredPod, src *corev1.ClusterTrustBundleProjection, mode uint32) ([]File, error) {
	data, ok := row.Trust[projections.TrustName(src)]
	switch optional := src.Optional != nil && *src.Optional; {
	case ok || optional:
		return []File{{Path: src.Path, Data: []byte(data.Anchors), Mode: mode}}, nil
	case src.Name != nil:
		return nil, fmt.Errorf("clustertrustbundle.certificates.k8s.io %q not found", *src.Name)
	}
	return nil, errors.New("combination of signerName and labelSelector matched zero ClusterTrustBundles")
}
