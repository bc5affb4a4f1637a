package schedule

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/volume"
)

// disks are what a pod asks of where its claims' volumes are, or can be. The nil disks ask for nothing.
type disks struct {
	v      reconcilers.View
	unmet  *events.Reason // a claim that no node can help
	bound  []disk
	wants  []disk // without a volume until a node is chosen
	sole   []disk // exclusive ones
	holder string // the pod that has one of these
	held   events.Key
}

// disk is one claim, with its volume or the class that it gets one of.
type disk struct {
	o      *projections.Object
	claim  *corev1.PersistentVolumeClaim
	volume *corev1.PersistentVolume
	class  *storagev1.StorageClass
}

func disksOf(v reconcilers.View, pod *projections.Object) *disks {
	var d *disks
	for u := range projections.ClaimsIn(pod.Key.Name, pod.PodSpec()) {
		if d == nil {
			d = &disks{v: v}
		}
		d.add(pod, u)
		if d.unmet != nil {
			return d
		}
	}
	return d
}

// add looks at one claim.
func (d *disks) add(pod *projections.Object, u projections.ClaimUse) {
	k := events.Key{Resource: events.Claims, Namespace: pod.Key.Namespace, Name: u.Claim}
	o, ok := d.v.Get(k)
	named := `persistentvolumeclaim "` + u.Claim + `"`
	switch {
	case !ok && u.Ephemeral:
		d.lack(k, `waiting for ephemeral volume controller to create the `+named, "")
		return
	case !ok:
		d.lack(k, named+" not found", "make it, or name another claim")
		return
	case u.Ephemeral && (o.Owner == nil || o.Owner.UID != pod.UID):
		d.lack(k, "PVC "+k.Namespace+"/"+k.Name+" was not created for pod "+pod.Key.Namespace+"/"+pod.Key.Name+" (pod is not owner)", "delete the claim")
		return
	case o.Deletion != nil:
		d.lack(k, named+" is being deleted", "")
		return
	}
	x := disk{o: o, claim: projections.As[*corev1.PersistentVolumeClaim](o)}
	if projections.Exclusive(x.claim) {
		if d.sole = append(d.sole, x); d.holder == "" {
			if h := d.v.ClaimHolder(o); h != nil {
				d.holder, d.held = h.Key.Name, o.Key
			}
		}
	}
	d.place(x)
}

// place sorts a claim by whether its volume is somewhere already.
func (d *disks) place(x disk) {
	row, bound := d.v.VolumeOf(x.o)
	name := x.claim.Spec.VolumeName
	class, _ := projections.ClaimClass(x.claim)
	var known bool
	x.class, known = d.v.StorageClass(class)
	switch {
	case bound && x.claim.Annotations[projections.BindCompleted] != "":
		x.volume = projections.As[*corev1.PersistentVolume](row)
		d.bound = append(d.bound, x)
	case x.claim.Annotations[projections.BindCompleted] != "":
		d.lack(x.o.Key, `persistentvolumeclaim "`+x.o.Key.Name+`" bound to non-existent persistentvolume "`+name+`"`, "bring the volume back, or make the claim anew")
	case name == "" && known && projections.WaitsForPod(x.class):
		d.wants = append(d.wants, x)
	default:
		d.lack(x.o.Key, "pod has unbound immediate PersistentVolumeClaims", "see why: stave why pvc/"+x.o.Key.Name)
	}
}

func (d *disks) lack(claim events.Key, said, fix string) {
	d.unmet = &events.Reason{Code: CodeClaim, What: claim.Name, Said: said, Fix: fix}
}

// claimAlone is what a claim lacks: no node has to do with it.
func claimAlone(r events.Reason) events.Reason {
	r.About = events.Key{}
	return r
}

// refuses is why a node is not where the pod's volumes are, or can be.
func (d *disks) refuses(n *node) refusal {
	switch {
	case d == nil:
		return refusal{}
	case d.unmet != nil:
		return no(*d.unmet)
	case d.holder != "":
		return no(events.Reason{Code: CodeVolumeHeld, What: d.held.Name, Have: d.holder, Fix: "wait for pod " + d.holder + " to end, or delete it"})
	}
	for _, x := range d.bound {
		if !volume.ReachesNode(x.volume, n.name, n.labels) {
			return no(events.Reason{Code: CodeVolumeNode, What: x.o.Key.Name, Have: x.volume.Name, Said: "the volume is on another node",
				Fix: "make room where it is: stave get pv " + x.volume.Name + " -o yaml shows where"})
		}
	}
	for _, x := range d.wants {
		if why := x.nowhere(d.v, n); why != "" {
			return no(events.Reason{Code: CodeVolumeNone, What: x.o.Key.Name, Said: why})
		}
	}
	return refusal{}
}

func no(r events.Reason) refusal { return refusal{code: r.Code, what: r.What, disk: &r} }

// nowhere is why a claim cannot have a volume on a node, "" when it can.
func (x disk) nowhere(v reconcilers.View, n *node) string {
	if chosen := x.claim.Annotations[projections.SelectedNode]; chosen != "" && chosen != n.name && !x.stale(v, chosen) {
		return "its volume is being made on node " + chosen
	}
	if volume.Best(v, x.claim, n.name) != nil {
		return ""
	}
	switch {
	case x.class.Provisioner == volume.NoProvisioner:
		return "no volume of class " + x.class.Name + " that fits is within reach of the node"
	case !volume.Allows(x.class, n.labels):
		return "class " + x.class.Name + " does not allow the node"
	case x.class.Provisioner != projections.LocalProvisioner:
		return ""
	}
	if why := volume.Refuses(x.class, x.claim); why != "" {
		return why
	}
	if row, ok := v.Node(n.name); !ok || row.Facts.VolumesDir == "" {
		return "the node keeps no volumes"
	}
	return ""
}

// stale tells whether a node that was chosen before is there no more.
func (x disk) stale(v reconcilers.View, chosen string) bool {
	_, there := v.Get(events.Key{Resource: events.Nodes, Name: chosen})
	return !there
}

// open tells whether claims of the pod wait for a node to be chosen.
func (d *disks) open() bool { return d != nil && len(d.wants) > 0 }

// meet learns of the exclusive claims that pods of this pass got.
func (d *disks) meet(held map[events.Key]string) {
	if d == nil || d.holder != "" {
		return
	}
	for _, x := range d.sole {
		if by, ok := held[x.o.Key]; ok {
			d.holder, d.held = by, x.o.Key
		}
	}
}

// hold notes that a pod got its exclusive claims.
func (d *disks) hold(held map[events.Key]string, by *projections.Object) map[events.Key]string {
	if d == nil || len(d.sole) == 0 {
		return held
	}
	if held == nil {
		held = map[events.Key]string{}
	}
	for _, x := range d.sole {
		held[x.o.Key] = by.Key.Name
	}
	return held
}

// choose has the volumes of a pod's claims made on a node. The pod is given to it when they are there; until then the room
// that it needs is kept for it.
func (p *pass) choose(n *node, o *projections.Object, w *wants) bool {
	for _, x := range w.disks.wants {
		if x.claim.Annotations[projections.SelectedNode] == n.name || p.chosen[x.o.Key] {
			continue
		}
		if p.steps >= maxSteps {
			return false
		}
		if p.chosen == nil {
			p.chosen = map[events.Key]bool{}
		}
		p.steps, p.chosen[x.o.Key] = p.steps+1, true
		b := reconcilers.Same(x.o)
		b.Object = reconcilers.Edit(x.o.Raw, func(m map[string]any) {
			reconcilers.Field(reconcilers.Field(m, "metadata"), "annotations")[projections.SelectedNode] = n.name
		})
		p.d.Events = append(p.d.Events, reconcilers.Change(x.o, b))
	}
	p.d.Because = append(p.d.Because, events.Reason{Code: "WaitingForVolumes", About: o.Key, Need: "volumes on node " + n.name})
	p.keep(n, w)
	return true
}
