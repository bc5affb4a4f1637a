package projections

import (
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
)

// Names that volumes, claims and classes are known by. Most are Kubernetes', so that its clients find what they look for.
const (
	// LocalProvisioner makes directories on nodes for claims; LocalClass is the class of it that every cluster begins with.
	LocalProvisioner = "stave.run/local"
	LocalClass       = "local"
	// DefaultClass marks the class of claims that name none, in annotations of today and of before.
	DefaultClass     = "storageclass.kubernetes.io/is-default-class"
	DefaultClassBeta = "storageclass.beta.kubernetes.io/is-default-class"
	// BindCompleted is on a claim that has its volume, BoundByController on what no person bound.
	BindCompleted     = manifest.BindCompleted
	BoundByController = "pv.kubernetes.io/bound-by-controller"
	ProvisionedBy     = "pv.kubernetes.io/provisioned-by"
	// SelectedNode is where the scheduler wants a claim's volume; StorageProvisioner asks a provisioner for one.
	SelectedNode           = "volume.kubernetes.io/selected-node"
	StorageProvisioner     = "volume.kubernetes.io/storage-provisioner"
	StorageProvisionerBeta = "volume.beta.kubernetes.io/storage-provisioner"
	// ClaimProtection and VolumeProtection keep what is in use; DirectoryKept keeps a volume until its node erased the directory.
	ClaimProtection  = "kubernetes.io/pvc-protection"
	VolumeProtection = "kubernetes.io/pv-protection"
	DirectoryKept    = "stave.run/directory"
	// VolumeNode is the node that has, or will make, the directory of a volume of LocalProvisioner.
	VolumeNode = "stave.run/node"
)

// Disk is what a volume's row remembers of its directory. It is immutable.
type Disk struct {
	Node   string `cbor:",omitzero" json:",omitempty"` // that made it
	Made   Mark   `cbor:",omitzero" json:",omitzero"`
	Erased Mark   `cbor:",omitzero" json:",omitzero"`
	Said   string `cbor:",omitzero" json:",omitempty"` // why it could not be erased yet
}

// ClaimClass is the class that a claim names; false when it leaves it to the cluster. The empty class is none.
func ClaimClass(c *corev1.PersistentVolumeClaim) (string, bool) {
	if name, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return name, true
	}
	if c.Spec.StorageClassName == nil {
		return "", false
	}
	return *c.Spec.StorageClassName, true
}

// VolumeClass is the class that a volume is of, empty for none.
func VolumeClass(v *corev1.PersistentVolume) string {
	if name, ok := v.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return name
	}
	return v.Spec.StorageClassName
}

// StorageClass finds a class by name.
func (s State) StorageClass(name string) (*storagev1.StorageClass, bool) {
	o, ok := s.Get(events.Key{Resource: events.StorageClasses, Name: name})
	if !ok {
		return nil, false
	}
	return As[*storagev1.StorageClass](o), true
}

// DefaultStorageClass is the class of claims that name none: the youngest of those marked so, as in Kubernetes.
func (s State) DefaultStorageClass() (string, bool) {
	var best *Object
	for o := range s.List(events.StorageClasses, "") {
		a := As[*storagev1.StorageClass](o).Annotations
		if a[DefaultClass] != "true" && a[DefaultClassBeta] != "true" || o.Deletion != nil {
			continue
		}
		if best == nil || o.youngerThan(best) {
			best = o
		}
	}
	if best == nil {
		return "", false
	}
	return best.Key.Name, true
}

// youngerThan tells which of two defaults counts, as in Kubernetes: the one that was made later, of those of one second the first
// by name.
func (o *Object) youngerThan(other *Object) bool {
	mine, its := o.Created.Time.Unix(), other.Created.Time.Unix()
	return mine > its || mine == its && o.Key.Name < other.Key.Name
}

// WaitsForPod tells whether claims of a class get their volumes when a pod uses them first.
func WaitsForPod(c *storagev1.StorageClass) bool {
	return c.VolumeBindingMode != nil && *c.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// VolumeKey is the key of a volume.
func VolumeKey(name string) events.Key { return events.Key{Resource: events.Volumes, Name: name} }

// ClaimRefKey is the claim that a volume is for, false when it is for anybody's.
func ClaimRefKey(v *corev1.PersistentVolume) (events.Key, bool) {
	r := v.Spec.ClaimRef
	if r == nil {
		return events.Key{}, false
	}
	return events.Key{Resource: events.Claims, Namespace: r.Namespace, Name: r.Name}, true
}

// VolumeOf is the volume that a claim has: both say so.
func (s State) VolumeOf(claim *Object) (*Object, bool) {
	name := As[*corev1.PersistentVolumeClaim](claim).Spec.VolumeName
	if name == "" {
		return nil, false
	}
	o, ok := s.Get(VolumeKey(name))
	if !ok {
		return nil, false
	}
	r := As[*corev1.PersistentVolume](o).Spec.ClaimRef
	return o, r != nil && r.Namespace == claim.Key.Namespace && r.Name == claim.Key.Name && events.UID(r.UID) == claim.UID
}

// ClaimOf is the claim that has a volume: both say so.
func (s State) ClaimOf(volume *Object) (*Object, bool) {
	k, ok := ClaimRefKey(As[*corev1.PersistentVolume](volume))
	if !ok {
		return nil, false
	}
	claim, ok := s.Get(k)
	if !ok {
		return nil, false
	}
	has, ok := s.VolumeOf(claim)
	return claim, ok && has.UID == volume.UID
}

// ClaimUse is one use of a claim by a pod.
type ClaimUse struct {
	Volume    string // the pod's name for it
	Claim     string
	Ephemeral bool // the claim is the pod's own, and goes with it
	ReadOnly  bool
}

// ClaimsIn are the claims that a pod of a name uses, in the order of its volumes.
func ClaimsIn(pod string, spec *corev1.PodSpec) iter.Seq[ClaimUse] {
	return func(yield func(ClaimUse) bool) {
		for i := range spec.Volumes {
			v := &spec.Volumes[i]
			switch {
			case v.PersistentVolumeClaim != nil:
				if !yield(ClaimUse{Volume: v.Name, Claim: v.PersistentVolumeClaim.ClaimName, ReadOnly: v.PersistentVolumeClaim.ReadOnly}) {
					return
				}
			case v.Ephemeral != nil:
				if !yield(ClaimUse{Volume: v.Name, Claim: pod + "-" + v.Name, Ephemeral: true}) {
					return
				}
			}
		}
	}
}

// UsesClaim tells whether a pod uses a claim. A claim that a pod makes for itself is its own only with the pod as its controller.
func UsesClaim(pod, claim *Object) bool {
	for u := range ClaimsIn(pod.Key.Name, pod.PodSpec()) {
		if u.Claim == claim.Key.Name && (!u.Ephemeral || claim.Owner != nil && claim.Owner.UID == pod.UID) {
			return true
		}
	}
	return false
}

// ClaimUsers are the pods that a node has, or had and did not say that it stopped, and that use a claim: by name.
func (s State) ClaimUsers(claim *Object) []*Object {
	var out []*Object
	for o := range s.List(events.Pods, claim.Key.Namespace) {
		if p, ok := s.PodOf(o.Key); ok && p.Node != "" && p.Stopped.IsZero() && UsesClaim(o, claim) {
			out = append(out, o)
		}
	}
	return out
}

// Exclusive tells whether one pod at a time may use a claim.
func Exclusive(c *corev1.PersistentVolumeClaim) bool {
	return slices.Contains(c.Spec.AccessModes, corev1.ReadWriteOncePod)
}

// ClaimHolder is the pod that has an exclusive claim: the one that got its node first, of those that did not end. nil when none has.
func (s State) ClaimHolder(claim *Object) *Object {
	var first *Object
	var since events.Seq
	for _, o := range s.ClaimUsers(claim) {
		p, _ := s.PodOf(o.Key)
		if p.Holds(o) && (first == nil || p.Assigned.Seq < since) {
			first, since = o, p.Assigned.Seq
		}
	}
	return first
}

// OurDirectory tells whether a volume is a directory that LocalProvisioner made.
func OurDirectory(v *corev1.PersistentVolume) bool {
	return v.Spec.Local != nil && v.Annotations[ProvisionedBy] == LocalProvisioner
}

// HomeOf is the node that has the directory of one of our volumes, "" when none has.
func HomeOf(o *Object) string {
	if o.Disk != nil && o.Disk.Node != "" {
		return o.Disk.Node
	}
	return As[*corev1.PersistentVolume](o).Annotations[VolumeNode]
}

// ToErase tells whether a volume's node is to erase its directory: somebody wants the volume gone, nobody has it, and its
// policy is to take the data with it.
func (s State) ToErase(o *Object) bool {
	v := As[*corev1.PersistentVolume](o)
	if o.Deletion == nil || !OurDirectory(v) || v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete ||
		o.Disk != nil && !o.Disk.Erased.IsZero() || HomeOf(o) == "" {
		return false
	}
	_, bound := s.ClaimOf(o)
	return !bound
}
