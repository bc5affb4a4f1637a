package plan

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// When a token is replaced by a new one: at this part of its life, in percent, and
// after this time at the latest, as in Kubernetes.
const (
	tokenAge    = 80
	oldestToken = 24 * time.Hour
)

// TokensDue is when a pod's tokens are to be made anew that were made at now, and
// the shortest of which lasts for life.
func TokensDue(now time.Time, life time.Duration) time.Time {
	return now.Add(min(life*tokenAge/100, oldestToken))
}

// WithAccess is a row with the volume for its token, if it gets one. The API's
// certificate comes with the token: the row of a pod would be twice as large with
// it, and it is the same for all of them.
func WithAccess(row *projections.DesiredPod) *projections.DesiredPod {
	next := *row
	next.Pod = *row.Pod.DeepCopy()
	projections.FillAccess(&next.Pod, row.UID, row.Access)
	name := projections.AccessVolume(row.UID)
	for _, v := range next.Pod.Spec.Volumes {
		if v.Name != name || v.Projected == nil {
			continue
		}
		yes := true
		for i := range v.Projected.Sources {
			if c := v.Projected.Sources[i].ConfigMap; c != nil {
				c.Optional = &yes
			}
		}
	}
	return &next
}

// HasTokens says whether any of a pod's volumes holds a token.
func HasTokens(row *projections.DesiredPod) bool {
	for _, v := range row.Pod.Spec.Volumes {
		for _, src := range sources(v) {
			if src.ServiceAccountToken != nil {
				return true
			}
		}
	}
	return false
}

// tokenFiles is a token as a file. A row that is only looked at has none: they are
// asked for when the volume is written.
func tokenFiles(row *projections.DesiredPod, volume string, t *corev1.ServiceAccountTokenProjection, mode uint32) []File {
	return []File{{Path: t.Path, Data: row.Tokens[projections.TokenFile{Volume: volume, Path: t.Path}], Mode: mode}}
}

// refresh writes changed ConfigMaps and new tokens into the volumes of a pod that has them already; what is gone keeps its
// last content.
func (p *planner) refresh() {
	if !p.o.Sandbox || p.o.Volumes == "" {
		return
	}
	want, tokens := p.fingerprint(), HasTokens(p.row)
	aged := tokens && !p.o.TokensDue.After(p.now)
	switch {
	case p.o.Volumes == want && !aged:
		if tokens {
			p.wake(p.o.TokensDue)
		}
	case VolumesError(p.row, p.node) != nil:
	case p.waits(p.o.Setup):
		p.wake(p.o.Setup.Until)
	default:
		p.do(WriteVolumes{Fingerprint: want})
	}
}
