package hollow

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// lean is a row as a machine keeps it. The pods of a node are mostly alike, and one process pretends tens of thousands: what
// is the same of them is kept once.
type lean struct {
	like     *projections.DesiredPod // all of the row but what follows; shared
	position events.Position
	uid      events.UID
	assigned events.Seq
	name     string
	version  string
	created  metav1.Time
	pod      types.UID // what the pod itself calls its uid
}

// maxLikes bounds what is looked through for each row; pods of more kinds share less.
const maxLikes = 16

// slim makes a row lean: what is the pod's own is taken out of it.
func (m *machine) slim(row *projections.DesiredPod) *lean {
	meta := &row.Pod.ObjectMeta
	l := &lean{position: row.Position, uid: row.UID, assigned: row.Assigned, name: meta.Name, version: meta.ResourceVersion,
		created: meta.CreationTimestamp, pod: meta.UID}
	if string(l.pod) == string(l.uid) {
		l.pod = types.UID(l.uid) // one text
	}
	row.Position, row.UID, row.Assigned = 0, "", 0
	meta.Name, meta.ResourceVersion, meta.CreationTimestamp, meta.UID = "", "", metav1.Time{}, ""
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

// row is the row as it was. What it points to is shared.
func (l *lean) row() *projections.DesiredPod {
	row := *l.like
	row.Position, row.UID, row.Assigned = l.position, l.uid, l.assigned
	row.Pod.Name, row.Pod.ResourceVersion, row.Pod.CreationTimestamp, row.Pod.UID = l.name, l.version, l.created, l.pod
	return &row
}
