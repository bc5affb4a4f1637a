package projections

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Sources are the rows that a pod is made of when Object shows it. Rows are never
// changed, so two states in which its sources are equal show it alike, whatever else
// has changed: who keeps what he made of a pod needs no other sign that it still holds.
type Sources struct {
	row, account *Object
	pod          *Pod
	node         *Node
	verdict      *Verdict
	served       bool // there is an API whose token its containers may get
}

// SourcesOf are the sources of a pod's row of s. Other kinds have none that could be
// told so shortly: ok is false.
func (s State) SourcesOf(o *Object) (from Sources, ok bool) {
	if o.Key.Resource != events.Pods {
		return Sources{}, false
	}
	from.row = o
	from.pod, _ = s.PodOf(o.Key)
	if from.pod != nil && from.pod.Node != "" {
		from.node, _ = s.Node(from.pod.Node)
	}
	from.account = s.accountOf(o.Key.Namespace, o.PodSpec())
	from.verdict, _ = s.Verdict(o.Key)
	_, from.served = s.Get(RootKey)
	return from, true
}

// accountOf is the ServiceAccount that a pod runs as; nil when it is not there.
func (s State) accountOf(namespace string, spec *corev1.PodSpec) *Object {
	o, _ := s.Get(events.Key{Resource: events.Accounts, Namespace: namespace, Name: AccountOf(spec)})
	return o
}
