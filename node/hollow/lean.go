package hollow

import (
	"reflect"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// lean is a row as a machine keeps it. The pods of a node are mostly alike, and one process pretends tens of thousands: what
// is the same of them is kept once.
type lean struct {
	like     *projections.DesiredPod // all of the row but its uid, which the pod has, and what follows; shared
	position events.Position
	assigned events.Seq
	name     string
	version  uint64 // what the pod's version says as a number; 0: like has it
	created  int64  // the second of its creation, in local time as it is decoded; 0: like has it
	named    bool   // the pod itself calls its uid as the row does
}

// maxLikes bounds what is looked through for each row; pods of more kinds share less.
const maxLikes = 16

// slim makes a row lean: what is the pod's own is taken out of it.
func (m *machine) slim(row *projections.DesiredPod) *lean {
	meta := &row.Pod.ObjectMeta
	l := &lean{position: row.Position, assigned: row.Assigned, name: meta.Name, named: string(meta.UID) == string(row.UID)}
	if l.named {
		meta.UID = ""
	}
	if n, err := strconv.ParseUint(meta.ResourceVersion, 10, 64); err == nil && strconv.FormatUint(n, 10) == meta.ResourceVersion && n != 0 {
		l.version, meta.ResourceVersion = n, ""
	}
	if at := meta.CreationTimestamp.Time; at == time.Unix(at.Unix(), 0) && at.Unix() != 0 {
		l.created, meta.CreationTimestamp = at.Unix(), metav1.Time{}
	}
	row.Position, row.UID, row.Assigned, meta.Name = 0, "", 0, ""
	for _, like := range m.likes {
		if reflect.DeepEqual(like, row) {
			l.like = like
			return l
		}
	}
	if len(m.likes) >= maxLikes {
		m.likes = m.likes[1:]
	}
	like := *row // a row kept must not keep all that came with it
	m.likes, l.like = append(m.likes, &like), &like
	return l
}

// row is the row as it was, of the pod of this uid. What it points to is shared.
func (l *lean) row(uid events.UID) *projections.DesiredPod {
	row := *l.like
	row.Position, row.UID, row.Assigned, row.Pod.Name = l.position, uid, l.assigned, l.name
	if l.named {
		row.Pod.UID = types.UID(uid)
	}
	if l.version != 0 {
		row.Pod.ResourceVersion = strconv.FormatUint(l.version, 10)
	}
	if l.created != 0 {
		row.Pod.CreationTimestamp = metav1.NewTime(time.Unix(l.created, 0))
	}
	return &row
}
