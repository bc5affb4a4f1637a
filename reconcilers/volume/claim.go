package volume

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// The codes of why a claim waits: Kubernetes' where it has some.
const (
	CodeWaits     events.Code = "WaitForFirstConsumer"
	CodeNoVolume  events.Code = "FailedBinding"
	CodeExternal  events.Code = "ExternalProvisioning"
	CodeFailed    events.Code = "ProvisioningFailed"
	CodeMismatch  events.Code = "VolumeMismatch"
	CodeInUse     events.Code = "InUse"
	CodeLost      events.Code = "ClaimLost"
	CodeErasing   events.Code = "Erasing"
	CodeNoDeleter events.Code = "VolumeFailedDelete"
)

// decide goes from what a claim says: that it shall go, which volume it has or wants, and which class.
func (p *pass) decide() {
	protected := slices.Contains(p.claim.Finalizers, projections.ClaimProtection)
	switch {
	case p.o.Deletion != nil && protected:
		p.letGo()
	case p.o.Deletion != nil:
	case !protected:
		p.edit(func(m map[string]any) { addFinalizer(m, projections.ClaimProtection) })
	case p.claim.Spec.VolumeName != "":
		p.named()
	default:
		p.search()
	}
}

// letGo takes the protection off a claim that no pod uses.
func (p *pass) letGo() {
	users := p.v.ClaimUsers(p.o)
	if len(users) == 0 {
		p.edit(func(m map[string]any) { dropFinalizer(m, projections.ClaimProtection) })
		return
	}
	for _, u := range users[:min(len(users), maxNamed)] {
		p.because(events.Reason{Code: CodeInUse, About: u.Key, What: string(u.Key.Resource), Need: "pod " + u.Key.Name + " to be gone"})
	}
}

// maxNamed is how many users of a claim are named.
const maxNamed = 5

// named sees to a claim that has a volume, or wants one by name.
func (p *pass) named() {
	name := p.claim.Spec.VolumeName
	volume, ok := p.v.Get(projections.VolumeKey(name))
	bound := p.claim.Annotations[projections.BindCompleted] != ""
	if !ok {
		p.because(lostOr(bound, name, "it is not there"))
		return
	}
	v := projections.As[*corev1.PersistentVolume](volume)
	mine, taken := refers(v, p.o)
	switch {
	case taken:
		p.because(lostOr(bound, name, "it is bound to another claim"))
	case mine && bound:
		p.grow(volume, v)
	case mine:
		p.bind(volume, false)
	case volume.Deletion != nil:
		p.because(lostOr(bound, name, "it is being deleted"))
	case !bound:
		if why := p.unfit(v, nil); why != "" && v.Spec.ClaimRef == nil { // who made it for this claim knows that
			p.because(events.Reason{Code: CodeMismatch, About: volume.Key, What: name, Said: "Cannot bind to requested volume \"" + name + "\": " + why})
			return
		}
		p.bind(volume, true)
	default:
		p.because(lostOr(bound, name, "it is no longer bound to this claim"))
	}
}

func lostOr(bound bool, name, why string) events.Reason {
	r := events.Reason{Code: CodeNoVolume, About: projections.VolumeKey(name), What: name, Said: `volume "` + name + `": ` + why}
	if bound {
		r.Code, r.Said = CodeLost, "Bound claim has lost its PersistentVolume. Data on the volume is lost! "+r.Said
	}
	return r
}

// refers tells whether a volume is a claim's, by its very uid, and whether it is another's.
func refers(v *corev1.PersistentVolume, claim *projections.Object) (mine, taken bool) {
	r := v.Spec.ClaimRef
	if r == nil {
		return false, false
	}
	named := r.Namespace == claim.Key.Namespace && r.Name == claim.Key.Name
	switch {
	case named && events.UID(r.UID) == claim.UID:
		return true, false
	case named && r.UID == "":
		return false, false
	}
	return false, true
}

// search finds or makes a volume for a claim without one.
func (p *pass) search() {
	name, ok := p.classify()
	if !ok {
		return
	}
	if meant := p.meant(); meant != nil {
		p.bind(meant, true)
		return
	}
	if p.class == nil && name != "" {
		p.classless(name)
		return
	}
	node, chosen := p.claim.Annotations[projections.SelectedNode], true
	if p.class != nil && projections.WaitsForPod(p.class) {
		chosen = node != ""
	}
	if !chosen {
		p.waitForPod()
		return
	}
	if best := p.best(node); best != nil {
		p.bind(best, true)
		return
	}
	p.provision(node)
}

// waitForPod says that the first pod decides where the volume is; or that there will be none wherever that is.
func (p *pass) waitForPod() {
	if p.class.Provisioner == projections.LocalProvisioner && Refuses(p.class, p.claim) != "" && p.best("") == nil {
		p.makeLocal("")
		return
	}
	p.because(events.Reason{Code: CodeWaits, Said: "waiting for first consumer to be created before binding"})
}

// classify finds the claim's class. One that names none gets the cluster's, and is asked again.
func (p *pass) classify() (name string, ok bool) {
	name, said := projections.ClaimClass(p.claim)
	if !said {
		if name, ok := p.v.DefaultStorageClass(); ok {
			p.edit(func(m map[string]any) { reconcilers.Field(m, "spec")["storageClassName"] = name })
			return name, false
		}
	}
	if class, ok := p.v.StorageClass(name); ok {
		p.class = class
	}
	return name, true
}

// classless binds a claim of a class that nobody wrote to a volume of it, if somebody made one.
func (p *pass) classless(name string) {
	if best := p.best(""); best != nil {
		p.bind(best, true)
		return
	}
	r := events.Reason{Code: CodeFailed, About: events.Key{Resource: events.StorageClasses, Name: name}, What: name,
		Said: `storageclass.storage.k8s.io "` + name + `" not found`, Fix: "make a StorageClass " + name + " with provisioner " + projections.LocalProvisioner}
	if d, ok := p.v.DefaultStorageClass(); ok {
		r.Fix += ", or leave storageClassName out: the default is " + d
	}
	p.because(r)
}

// meant is a volume that somebody made for this claim, nil when nobody did.
func (p *pass) meant() *projections.Object {
	for o := range p.v.List(events.Volumes, "") {
		v := projections.As[*corev1.PersistentVolume](o)
		k, ok := projections.ClaimRefKey(v)
		if _, taken := refers(v, p.o); ok && k == p.o.Key && !taken && o.Deletion == nil && p.unfitSize(v) == "" {
			return o
		}
	}
	return nil
}

// best is the smallest volume that fits and that nobody has; nil when there is none. It may have to be of use on a node.
func (p *pass) best(node string) *projections.Object {
	return Best(p.v, p.claim, node)
}

// Best is the smallest volume for a claim of those that nobody has; nil when there is none. With a node it is one that this
// node can mount.
func Best(v reconcilers.View, claim *corev1.PersistentVolumeClaim, node string) *projections.Object {
	p := &pass{v: v, claim: claim}
	var best *projections.Object
	var least resource.Quantity
	for o := range v.List(events.Volumes, "") {
		volume := projections.As[*corev1.PersistentVolume](o)
		if volume.Spec.ClaimRef != nil || o.Deletion != nil || p.unfit(volume, p.claim) != "" || node != "" && !Reaches(v, volume, node) {
			continue
		}
		if size := volume.Spec.Capacity[corev1.ResourceStorage]; best == nil || size.Cmp(least) < 0 {
			best, least = o, size
		}
	}
	return best
}

// edit drafts the claim with changes.
func (p *pass) edit(change func(map[string]any)) {
	p.d.Events = append(p.d.Events, edited(p.o, change))
}

func edited(o *projections.Object, change func(map[string]any)) reconcilers.Draft {
	b := reconcilers.Same(o)
	b.Object = reconcilers.Edit(o.Raw, change)
	return reconcilers.Change(o, b)
}

// bind drafts that claim and volume have each other.
func (p *pass) bind(volume *projections.Object, ours bool) {
	if volume.Deletion != nil {
		return
	}
	note := func(m map[string]any, names ...string) {
		a := reconcilers.Field(reconcilers.Field(m, "metadata"), "annotations")
		for _, name := range names {
			a[name] = "yes"
		}
	}
	v := projections.As[*corev1.PersistentVolume](volume)
	if mine, _ := refers(v, p.o); !mine {
		byUs := v.Spec.ClaimRef == nil
		p.d.Events = append(p.d.Events, edited(volume, func(m map[string]any) {
			reconcilers.Field(m, "spec")["claimRef"] = reference(p.o)
			if byUs {
				note(m, projections.BoundByController)
			}
		}))
	}
	p.edit(func(m map[string]any) {
		names := []string{projections.BindCompleted}
		if ours && p.claim.Spec.VolumeName == "" {
			names = append(names, projections.BoundByController)
		}
		reconcilers.Field(m, "spec")["volumeName"] = volume.Key.Name
		note(m, names...)
	})
}

func reference(claim *projections.Object) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.Key.Namespace, "name": claim.Key.Name, "uid": string(claim.UID)}
}

// grow makes one of our volumes as large as its claim wants it by now. It is a number: nothing bounds a directory but its disk.
func (p *pass) grow(o *projections.Object, v *corev1.PersistentVolume) {
	want, has := p.claim.Spec.Resources.Requests[corev1.ResourceStorage], v.Spec.Capacity[corev1.ResourceStorage]
	if !projections.OurDirectory(v) || want.Cmp(has) <= 0 {
		return
	}
	p.d.Events = append(p.d.Events, edited(o, func(m map[string]any) {
		reconcilers.Field(reconcilers.Field(m, "spec"), "capacity")["storage"] = want.String()
	}))
}
