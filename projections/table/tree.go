package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Branch is an object, or a container of a pod, and what belongs to it.
type Branch struct {
	Name     string    `json:"name"`            // Kind/name, or the container's
	Key      any       `json:"key,omitempty"`   // an events.Key; containers have none
	Ready    string    `json:"ready,omitempty"` // 2/3
	State    string    `json:"state,omitempty"` // the STATUS that get shows
	Age      string    `json:"age,omitempty"`
	Asked    bool      `json:"asked,omitempty"` // it is what the question was about
	Left     int       `json:"left,omitempty"`  // so many others are beside what the question was about
	Branches []*Branch `json:"branches,omitempty"`
}

// maxOwners bounds how far owners are followed.
const maxOwners = 16

// TreeOf is an object with its owners above it and all that belongs to it below;
// false when it is not there.
func TreeOf(s projections.State, k events.Key, now time.Time) (*Branch, bool) {
	o, ok := s.Get(k)
	if !ok {
		return nil, false
	}
	t := growing{state: s, now: now}
	top := t.branch(o)
	top.Asked = true
	t.below(top, o)
	for range maxOwners {
		if o.Owner == nil {
			break
		}
		up, ok := s.Get(o.Owner.Key(o.Key))
		if !ok || up.UID != o.Owner.UID {
			break
		}
		above := t.branch(up)
		above.Branches, above.Left = []*Branch{top}, -1
		for range s.Children(up.UID) {
			above.Left++
		}
		top, o = above, up
	}
	return top, true
}

// growing is a TreeOf under way.
type growing struct {
	state projections.State
	now   time.Time
	depth int // people can write owners in a circle
}

// branch is an object alone, in the words of its table.
func (t growing) branch(o *projections.Object) *Branch {
	kind, _ := t.state.KindOf(o.Key.Resource)
	v := t.state.ObjectOf(o, t.now)
	b := &Branch{Name: kind.Name + "/" + o.Key.Name, Key: o.Key, Age: AgeOf(v, t.now)}
	rows := Of(o.Key.Resource, []events.Object{v}, t.now)
	cell := func(column string) string {
		i := slices.IndexFunc(rows.Columns, func(c Column) bool { return c.Name == column })
		if i < 0 {
			return ""
		}
		return rows.Rows[0].Cells[i]
	}
	b.Ready, b.State = cell("READY"), cell("STATUS")
	if all := cell("DESIRED"); all != "" {
		b.Ready += "/" + all
	}
	if o.Key.Resource == events.Services {
		b.State = cell("TYPE")
	}
	if n := cell("RESTARTS"); n != "" && !strings.HasPrefix(n, "0") {
		b.State += ", restarts " + n
	}
	return b
}

// below adds what belongs to an object.
func (t growing) below(b *Branch, o *projections.Object) {
	switch o.Key.Resource {
	case events.Namespaces:
		t.namespace(b, o.Key.Name)
		return
	case events.Services:
		t.service(b, o)
		return
	case events.Nodes:
		for p := range t.state.PodsOn(o.Key.Name) {
			if pod, ok := t.state.Get(p.Key); ok {
				child := t.branch(pod)
				child.Name = "Pod/" + p.Key.Namespace + "/" + p.Key.Name
				b.Branches = append(b.Branches, child)
			}
		}
		return
	case events.Pods:
		t.containers(b, o)
	}
	for child := range t.state.Children(o.UID) {
		t.grow(b, child)
	}
	slices.SortStableFunc(b.Branches, func(a, c *Branch) int { return strings.Compare(emptyLast(a), emptyLast(c)) })
}

// emptyLast sorts what is scaled to nothing behind what runs.
func emptyLast(b *Branch) string {
	if b.Ready == "0/0" {
		return "1"
	}
	return "0"
}

func (t growing) grow(b *Branch, o *projections.Object) {
	child := t.branch(o)
	if t.depth++; t.depth < maxOwners {
		t.below(child, o)
	}
	b.Branches = append(b.Branches, child)
}

// namespace has everything in it that nothing else owns.
func (t growing) namespace(b *Branch, name string) {
	for _, kind := range t.state.Kinds().All() {
		if !kind.Namespaced || kind.Derived {
			continue
		}
		for o := range t.state.List(kind.Resource, name) {
			if !o.Controlled() {
				t.grow(b, o)
			}
		}
	}
}

// service has the pods that it sends connections to, and those that it does not yet.
func (t growing) service(b *Branch, o *projections.Object) {
	ends := &Branch{Name: "Endpoints/" + o.Key.Name}
	backends := t.state.Backends(o)
	ready := 0
	for _, x := range backends {
		pod, ok := t.state.Get(x.Pod.Key)
		if !ok {
			continue
		}
		child := t.branch(pod)
		if x.Ready {
			ready++
			child.State += ", " + x.Pod.IP
		} else {
			child.State += ", gets no connections"
		}
		ends.Branches = append(ends.Branches, child)
	}
	ends.Ready = fmt.Sprintf("%d/%d", ready, len(backends))
	b.Branches = append(b.Branches, ends)
}

// containers has a pod's, those that initialise it first.
func (t growing) containers(b *Branch, o *projections.Object) {
	pod, ok := t.state.ObjectOf(o, t.now).(*corev1.Pod)
	if !ok {
		return
	}
	for _, st := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		c := &Branch{Name: "container " + st.Name, Ready: "0/1"}
		if st.Ready {
			c.Ready = "1/1"
		}
		switch s := st.State; {
		case s.Running != nil:
			c.State, c.Age = "Running", Age(t.now.Sub(s.Running.StartedAt.Time))
		case s.Terminated != nil:
			c.State = s.Terminated.Reason
		case s.Waiting != nil:
			c.State = s.Waiting.Reason
		}
		b.Branches = append(b.Branches, c)
	}
}
