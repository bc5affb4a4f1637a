package volume

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// provision makes a volume for a claim that none fits, or asks whose class it is to.
func (p *pass) provision(node string) {
	switch {
	case p.class == nil:
		p.because(events.Reason{Code: CodeNoVolume, Said: "no persistent volumes available for this claim and no storage class is set",
			Fix: "make a PersistentVolume that fits, or name a class"})
	case p.class.Provisioner == projections.LocalProvisioner:
		p.makeLocal(node)
	case p.class.Provisioner == NoProvisioner && projections.WaitsForPod(p.class):
		p.deselect() // another claim was faster: the scheduler looks again
	case p.class.Provisioner == NoProvisioner:
		p.because(events.Reason{Code: CodeNoVolume, Said: "no volume plugin matched: volumes of class " + p.class.Name + " are made by people",
			Fix: "make a PersistentVolume of the class that fits"})
	default:
		p.askOutside()
	}
}

// NoProvisioner is the provisioner of classes whose volumes people make.
const NoProvisioner = "kubernetes.io/no-provisioner"

// askOutside names the provisioner in the claim, as those outside look for.
func (p *pass) askOutside() {
	by := p.class.Provisioner
	if p.claim.Annotations[projections.StorageProvisioner] != by {
		p.edit(func(m map[string]any) {
			a := reconcilers.Field(reconcilers.Field(m, "metadata"), "annotations")
			a[projections.StorageProvisioner], a[projections.StorageProvisionerBeta] = by, by
		})
	}
	p.because(events.Reason{Code: CodeExternal, What: by, Said: "Waiting for a volume to be created either by the external provisioner '" + by +
		"' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."})
}

// deselect has the scheduler choose anew.
func (p *pass) deselect() {
	p.edit(func(m map[string]any) {
		delete(reconcilers.Field(reconcilers.Field(m, "metadata"), "annotations"), projections.SelectedNode)
	})
}

// makeLocal makes a directory on a node, or says why it cannot.
func (p *pass) makeLocal(node string) {
	if why := Refuses(p.class, p.claim); why != "" {
		p.because(events.Reason{Code: CodeFailed, What: p.class.Name, Said: "failed to provision volume with StorageClass \"" + p.class.Name + "\": " + why})
		return
	}
	wait := projections.WaitsForPod(p.class)
	if !wait {
		node = p.anyNode()
	}
	o, ok := p.v.Get(events.Key{Resource: events.Nodes, Name: node})
	row, known := p.v.Node(node)
	switch {
	case wait && (!ok || o.Deletion != nil || !known || row.Facts.VolumesDir == ""):
		p.deselect()
	case !ok:
		p.because(events.Reason{Code: CodeFailed, What: p.class.Name, Said: "no node can have the volume", Need: "a node that is ready and that the class allows"})
	default:
		p.make(o, row.Facts.VolumesDir)
	}
}

// Refuses is why LocalProvisioner makes no volume for a claim, "" when it does.
func Refuses(class *storagev1.StorageClass, claim *corev1.PersistentVolumeClaim) string {
	for _, m := range claim.Spec.AccessModes {
		if m == corev1.ReadWriteMany || m == corev1.ReadOnlyMany {
			return fmt.Sprintf("a directory is on one node, and %s wants many: ask for ReadWriteOnce", m)
		}
	}
	switch {
	case modeOf(claim.Spec.VolumeMode) != corev1.PersistentVolumeFilesystem:
		return "a directory is no block device"
	case claim.Spec.Selector != nil:
		return "claim.Spec.Selector is not supported"
	case len(class.Parameters) > 0:
		names := make([]string, 0, len(class.Parameters))
		for name := range class.Parameters { //stave:sorted below
			names = append(names, name)
		}
		return fmt.Sprintf("the class has parameters that %s does not know: %s", projections.LocalProvisioner, slices.Min(names))
	case len(class.MountOptions) > 0:
		return "Mount options are not supported by the provisioner but StorageClass has mount options"
	}
	return ""
}

// anyNode is a node for a volume that waits for no pod: of those that are ready and open the one that has fewest.
func (p *pass) anyNode() string {
	count := map[string]int{}
	for o := range p.v.List(events.Volumes, "") {
		count[projections.HomeOf(o)]++
	}
	var fit []string
	for o := range p.v.List(events.Nodes, "") {
		row, ok := p.v.Node(o.Key.Name)
		n := projections.As[*corev1.Node](o)
		if ok && o.Deletion == nil && row.Report.Ready && row.Facts.VolumesDir != "" && !n.Spec.Unschedulable && Allows(p.class, n.Labels) {
			fit = append(fit, o.Key.Name)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	return slices.MinFunc(fit, func(a, b string) int { return cmp.Or(cmp.Compare(count[a], count[b]), cmp.Compare(a, b)) })
}

// make drafts the volume, and that the claim has it.
func (p *pass) make(node *projections.Object, dir string) {
	k := projections.VolumeKey("pvc-" + string(p.o.UID))
	if _, there := p.v.Get(k); there {
		p.because(events.Reason{Code: CodeFailed, About: k, What: k.Name, Said: `volume "` + k.Name + `" is there already, and is not for this claim`, Fix: "delete it"})
		return
	}
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: k.Name,
		Annotations: map[string]string{projections.ProvisionedBy: projections.LocalProvisioner, projections.VolumeNode: node.Key.Name},
		Finalizers:  []string{projections.VolumeProtection, projections.DirectoryKept}},
		Spec: corev1.PersistentVolumeSpec{Capacity: corev1.ResourceList{corev1.ResourceStorage: p.claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes: p.claim.Spec.AccessModes, StorageClassName: p.class.Name, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path.Join(dir, k.Name)}},
			ClaimRef:               &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: p.o.Key.Namespace, Name: p.o.Key.Name, UID: types.UID(p.o.UID)},
			NodeAffinity:           only(node)}}
	if r := p.class.ReclaimPolicy; r != nil {
		v.Spec.PersistentVolumeReclaimPolicy = *r
	}
	manifest.Default(v)
	raw, err := manifest.Canonical(v)
	if err != nil {
		panic(fmt.Sprintf("draft %s: %v", k, err)) // our own objects always encode
	}
	p.d.Events = append(p.d.Events, reconcilers.Create(k, events.Created{Object: raw}))
	p.edit(func(m map[string]any) {
		reconcilers.Field(m, "spec")["volumeName"] = k.Name
		a := reconcilers.Field(reconcilers.Field(m, "metadata"), "annotations")
		a[projections.BindCompleted], a[projections.BoundByController] = "yes", "yes"
		a[projections.StorageProvisioner], a[projections.StorageProvisionerBeta] = projections.LocalProvisioner, projections.LocalProvisioner
	})
}

// only keeps a volume to its node, by the label that Kubernetes' local volumes go by, or by its name where it has none.
func only(node *projections.Object) *corev1.VolumeNodeAffinity {
	r := corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn}
	term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{r}}
	if host, ok := projections.As[*corev1.Node](node).Labels[corev1.LabelHostname]; ok {
		term.MatchExpressions[0].Values = []string{host}
	} else {
		r.Key, r.Values = projections.NameField, []string{node.Key.Name}
		term = corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{r}}
	}
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}
}
