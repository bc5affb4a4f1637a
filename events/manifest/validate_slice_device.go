package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateDeviceSlice(s *resourcev1.ResourceSliceSpec, at *field.Path) field.ErrorList {
	errs := driverName(s.Driver, at.Child("driver"))
	pool := at.Child("pool")
	errs = append(errs, poolName(s.Pool.Name, pool.Child("name"))...)
	if s.Pool.ResourceSliceCount <= 0 {
		errs = append(errs, field.Invalid(pool.Child("resourceSliceCount"), s.Pool.ResourceSliceCount, notPositive))
	}
	if s.Pool.Generation < 0 {
		errs = append(errs, field.Invalid(pool.Child("generation"), s.Pool.Generation, "must be greater than or equal to zero"))
	}
	where := placed{s.NodeName, s.NodeSelector, s.AllNodes, s.PerDeviceNodeSelection}
	errs = append(errs, where.validate("exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required", at)...)
	if n := s.NodeSelector; n != nil && len(n.NodeSelectorTerms) != 1 {
		errs = append(errs, field.Invalid(at.Child("nodeSelector", "nodeSelectorTerms"), n.NodeSelectorTerms, "must have exactly one node selector term"))
	}
	if s.SharedCounters != nil && s.Devices != nil {
		errs = append(errs, field.Invalid(at, "", "only one of `sharedCounters` or `devices` is allowed"))
	}
	most := resourcev1.ResourceSliceMaxDevices
	if slices.ContainsFunc(s.Devices, advanced) {
		most = resourcev1.ResourceSliceMaxDevicesWithAdvancedFeatures
	}
	apart := s.PerDeviceNodeSelection != nil && *s.PerDeviceNodeSelection
	errs = append(errs, eachOnce(s.Devices, most, at.Child("devices"), func(d *resourcev1.Device) string { return d.Name },
		func(d *resourcev1.Device, at *field.Path) field.ErrorList { return validateDevice(d, apart, at) })...)
	errs = append(errs, eachOnce(s.SharedCounters, resourcev1.ResourceSliceMaxCounterSets, at.Child("sharedCounters"), func(c *resourcev1.CounterSet) string { return c.Name },
		func(c *resourcev1.CounterSet, at *field.Path) field.ErrorList {
			return validateCounters(c.Name, c.Counters, at.Child("name"), at.Child("counters"))
		})...)
	errs = append(errs, validatePartitionType(s, at)...)
	return append(errs, validateSkipped(s.SkipNodeOperations, at.Child("skipNodeOperations"))...)
}

// advanced tells whether a device has what makes it dear to look at: a slice holds fewer of them.
func advanced(d resourcev1.Device) bool {
	if len(d.Taints) > 0 || len(d.ConsumesCounters) > 0 {
		return true
	}
	for _, a := range d.Attributes { //stave:sorted one is as good as another
		if a.BoolValues != nil || a.IntValues != nil || a.StringValues != nil || a.VersionValues != nil {
			return true
		}
	}
	return false
}

// placed says which nodes reach something.
type placed struct {
	node     *string
	selector *corev1.NodeSelector
	all      *bool
	perItem  *bool
}

func (p placed) validate(one string, at *field.Path) field.ErrorList {
	var set []string
	var errs field.ErrorList
	if p.node != nil && *p.node == "" {
		errs = append(errs, field.Invalid(at.Child("nodeName"), "", "must be either unset or set to a non-empty string"))
	} else if p.node != nil {
		set = append(set, "`nodeName`")
		errs = invalid(errs, at.Child("nodeName"), *p.node, validation.IsDNS1123Subdomain(*p.node))
	}
	if p.selector != nil {
		set = append(set, "`nodeSelector`")
		terms := at.Child("nodeSelector", "nodeSelectorTerms")
		if len(p.selector.NodeSelectorTerms) == 0 {
			errs = append(errs, field.Required(terms, "must have at least one node selector term"))
		}
		for i := range p.selector.NodeSelectorTerms {
			errs = append(errs, validateTerm(&p.selector.NodeSelectorTerms[i], terms.Index(i))...)
		}
	}
	for _, x := range []struct {
		name string
		on   *bool
	}{{"allNodes", p.all}, {"perDeviceNodeSelection", p.perItem}} {
		if x.on != nil && *x.on {
			set = append(set, "`"+x.name+"`")
		} else if x.on != nil {
			errs = append(errs, field.Invalid(at.Child(x.name), false, "must be either unset or set to true"))
		}
	}
	switch {
	case len(set) == 0:
		errs = append(errs, field.Required(at, one))
	case len(set) > 1:
		errs = append(errs, field.Invalid(at, "{"+strings.Join(set, ", ")+"}", one+", but multiple fields are set"))
	}
	return errs
}

func validateCounters(name string, counters map[string]resourcev1.Counter, at, in *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = aLabel(&name, at)
	}
	switch n := len(counters); {
	case n == 0:
		return append(errs, field.Required(in, ""))
	case n > resourcev1.ResourceSliceMaxCountersPerCounterSet:
		return append(errs, field.TooMany(in, n, resourcev1.ResourceSliceMaxCountersPerCounterSet))
	}
	for _, k := range keysOf(counters) {
		errs = append(errs, aLabel(&k, in)...)
	}
	return errs
}

// validatePartitionType wants that the devices that share counters carry the attribute that tells them apart.
func validatePartitionType(s *resourcev1.ResourceSliceSpec, at *field.Path) field.ErrorList {
	if s.PartitionTypeAttribute == nil {
		return nil
	}
	name, here := string(*s.PartitionTypeAttribute), at.Child("partitionTypeAttribute")
	if errs := fullName(name, here); len(errs) > 0 {
		return errs
	}
	if !slices.ContainsFunc(s.Devices, func(d resourcev1.Device) bool { return len(d.ConsumesCounters) > 0 }) {
		return field.ErrorList{field.Invalid(here, name, "may only be set on a slice which declares devices that consume counters")}
	}
	bare, own := strings.CutPrefix(name, s.Driver+"/")
	var errs field.ErrorList
	for i, d := range s.Devices {
		if len(d.ConsumesCounters) == 0 {
			continue
		}
		a, ok := d.Attributes[resourcev1.QualifiedName(name)]
		if !ok && own {
			a, ok = d.Attributes[resourcev1.QualifiedName(bare)]
		}
		switch in := at.Child("devices").Index(i).Child("attributes").Key(name); {
		case !ok:
			errs = append(errs, field.Required(in, "device consumes counters and `partitionTypeAttribute` names this attribute, so it must be set"))
		case a.StringValue == nil:
			errs = append(errs, field.Invalid(in, a, "must be a string value because `partitionTypeAttribute` names this attribute"))
		}
	}
	return errs
}

func validateSkipped(ops []resourcev1.SkipNodeOperation, at *field.Path) field.ErrorList {
	known := []resourcev1.SkipNodeOperation{resourcev1.SkipNodeOperationAll, resourcev1.SkipNodeOperationNodePrepareResources, resourcev1.SkipNodeOperationNodeUnprepareResources}
	errs := eachOnce(ops, len(ops), at, func(o *resourcev1.SkipNodeOperation) string { return string(*o) }, func(o *resourcev1.SkipNodeOperation, at *field.Path) field.ErrorList {
		return oneOf(nil, at, *o, known...)
	})
	if slices.Contains(ops, known[1]) && !slices.Contains(ops, known[2]) && !slices.Contains(ops, known[0]) {
		errs = append(errs, field.Invalid(at, ops, "NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped"))
	}
	return errs
}

func validateDevice(d *resourcev1.Device, placedAlone bool, at *field.Path) field.ErrorList {
	errs := aLabel(&d.Name, at.Child("name"))
	if n := len(d.Attributes) + len(d.Capacity); n > resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice {
		errs = append(errs, field.Invalid(at, n, fmt.Sprintf("the total number of attributes and capacities must not exceed %d", resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice)))
	}
	if n := attributeValues(d); n > resourcev1.ResourceSliceMaxAttributeValuesPerDevice {
		errs = append(errs, field.Invalid(at, n, fmt.Sprintf("the total number of attribute values must not exceed %d", resourcev1.ResourceSliceMaxAttributeValuesPerDevice)))
	}
	for _, k := range keysOfNames(d.Attributes) {
		a := d.Attributes[k]
		errs = append(errs, attributeName(string(k), at.Child("attributes"))...)
		errs = append(errs, validateAttribute(&a, at.Child("attributes").Key(string(k)))...)
	}
	shared := d.AllowMultipleAllocations != nil && *d.AllowMultipleAllocations
	for _, k := range keysOfNames(d.Capacity) {
		c := d.Capacity[k]
		errs = append(errs, attributeName(string(k), at.Child("capacity"))...)
		errs = append(errs, validateDeviceCapacity(&c, shared, at.Child("capacity").Key(string(k)))...)
	}
	errs = append(errs, each(d.Taints, resourcev1.DeviceTaintsMaxLength, at.Child("taints"), validateDeviceTaint)...)
	errs = append(errs, eachOnce(d.ConsumesCounters, resourcev1.ResourceSliceMaxDeviceCounterConsumptionsPerDevice, at.Child("consumesCounters"),
		func(c *resourcev1.DeviceCounterConsumption) string { return c.CounterSet }, validateConsumption)...)
	const one = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
	if where := (placed{d.NodeName, d.NodeSelector, d.AllNodes, nil}); placedAlone {
		errs = append(errs, where.validate(one, at)...)
	} else if where != (placed{}) {
		errs = append(errs, field.Invalid(at, nil, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"))
	}
	errs = append(errs, validateBindings(d.BindingConditions, d.BindingFailureConditions, at)...)
	return append(errs, validateNodeShares(d, at.Child("nodeAllocatableResources"))...)
}

// keysOfNames is keysOf for names that are a type of their own.
func keysOfNames[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func validateConsumption(c *resourcev1.DeviceCounterConsumption, at *field.Path) field.ErrorList {
	errs := validateCounters(c.CounterSet, c.Counters, at.Child("counterSet"), at.Child("counters"))
	return append(errs, eachOnce(c.CompatibilityGroups, resourcev1.DeviceCompatibilityGroupsMaxSize, at.Child("compatibilityGroups"), itself, aLabel)...)
}

func attributeValues(d *resourcev1.Device) int {
	n := 0
	for _, a := range d.Attributes { //stave:sorted they are added up
		n += max(1, len(a.BoolValues)+len(a.IntValues)+len(a.StringValues)+len(a.VersionValues))
	}
	return n
}

// semver is a version as semver.org has it.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

func attributeText(s *string, at *field.Path) field.ErrorList {
	if len(*s) > resourcev1.DeviceAttributeMaxValueLength {
		return field.ErrorList{field.TooLong(at, "", resourcev1.DeviceAttributeMaxValueLength)}
	}
	return nil
}

func attributeVersion(s *string, at *field.Path) field.ErrorList {
	if !semver.MatchString(*s) {
		return append(field.ErrorList{field.Invalid(at, *s, "must be a string compatible with semver.org spec 2.0.0")}, attributeText(s, at)...)
	}
	return attributeText(s, at)
}

func validateAttribute(a *resourcev1.DeviceAttribute, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	for _, set := range []bool{a.BoolValue != nil, a.IntValue != nil, a.StringValue != nil, a.VersionValue != nil, a.BoolValues != nil, a.IntValues != nil, a.StringValues != nil, a.VersionValues != nil} {
		if set {
			n++
		}
	}
	if a.StringValue != nil {
		errs = append(errs, attributeText(a.StringValue, at.Child("string"))...)
	}
	if a.VersionValue != nil {
		errs = append(errs, attributeVersion(a.VersionValue, at.Child("version"))...)
	}
	for _, l := range []struct {
		name  string
		empty bool
	}{{"bools", a.BoolValues != nil && len(a.BoolValues) == 0}, {"ints", a.IntValues != nil && len(a.IntValues) == 0},
		{"strings", a.StringValues != nil && len(a.StringValues) == 0}, {"versions", a.VersionValues != nil && len(a.VersionValues) == 0}} {
		if l.empty {
			errs = append(errs, field.Invalid(at.Child(l.name), []string{}, "must not be empty if specified"))
		}
	}
	errs = append(errs, each(a.StringValues, len(a.StringValues), at.Child("strings"), attributeText)...)
	errs = append(errs, each(a.VersionValues, len(a.VersionValues), at.Child("versions"), attributeVersion)...)
	if n != 1 {
		errs = append(errs, field.Invalid(at, "", "exactly one value must be specified"))
	}
	return errs
}

// validateBindings holds the conditions that a pod waits for to their rules: both lists, or none, and nothing in both.
func validateBindings(wanted, failing []string, at *field.Path) field.ErrorList {
	w, f := at.Child("bindingConditions"), at.Child("bindingFailureConditions")
	errs := eachOnce(wanted, resourcev1.BindingConditionsMaxSize, w, itself, aLabelName)
	errs = append(errs, eachOnce(failing, resourcev1.BindingFailureConditionsMaxSize, f, itself, aLabelName)...)
	for i, c := range failing {
		if slices.Contains(wanted, c) {
			errs = append(errs, field.Invalid(f.Index(i), c, "bindingFailureConditions must not overlap with bindingConditions"))
		}
	}
	switch {
	case len(wanted) == 0 && len(failing) > 0:
		errs = append(errs, field.Invalid(w, wanted, "bindingConditions are required to use bindingFailureConditions"))
	case len(failing) == 0 && len(wanted) > 0:
		errs = append(errs, field.Invalid(f, failing, "bindingFailureConditions are required to use bindingConditions"))
	}
	return errs
}

// validateNodeShares holds what a device takes of its node to its rules.
func validateNodeShares(d *resourcev1.Device, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range keysOfNames(d.NodeAllocatableResources) {
		n, here := d.NodeAllocatableResources[name], at.Key(string(name))
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
			errs = append(errs, field.Invalid(here, name, "must be a node allocatable resource name"))
		}
		if n.Mapping == nil && n.Overhead == nil {
			errs = append(errs, field.Required(here, "at least one of mapping or overhead must be set"))
		}
		if n.Mapping != nil {
			errs = append(errs, validateNodeMapping(n.Mapping, d, here.Child("mapping"))...)
		}
		if o, in := n.Overhead, here.Child("overhead"); o != nil {
			if o.PerPod == nil && o.PerContainer == nil {
				errs = append(errs, field.Invalid(in, "", "at least one of perPod or perContainer must be set"))
			}
			if o.PerPod != nil && o.PerPod.Sign() < 0 {
				errs = append(errs, field.Invalid(in.Child("perPod"), o.PerPod.String(), "must be non-negative"))
			}
			if o.PerContainer != nil && o.PerContainer.Sign() < 0 {
				errs = append(errs, field.Invalid(in.Child("perContainer"), o.PerContainer.String(), "must be non-negative"))
			}
		}
	}
	return errs
}

func validateNodeMapping(m *resourcev1.NodeAllocatableMapping, d *resourcev1.Device, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	key, by := at.Child("capacityKey"), at.Child("capacityMultiplier")
	switch {
	case m.CapacityKey != nil && m.DeviceMultiplier != nil || m.CapacityKey == nil && m.DeviceMultiplier == nil:
		errs = append(errs, field.Invalid(at, "", "must specify exactly one of: `capacityKey`, `deviceMultiplier`"))
	case m.CapacityKey != nil && *m.CapacityKey == "":
		errs = append(errs, field.Invalid(key, "", "capacityKey must not be an empty string"))
	case m.CapacityKey != nil:
		if _, ok := d.Capacity[*m.CapacityKey]; !ok {
			errs = append(errs, field.NotFound(key, *m.CapacityKey))
		}
	}
	switch {
	case m.CapacityKey != nil && m.CapacityMultiplier == nil:
		errs = append(errs, field.Required(by, "capacityMultiplier is required when capacityKey is set"))
	case m.CapacityKey == nil && m.CapacityMultiplier != nil:
		errs = append(errs, field.Required(key, "capacityKey is required when capacityMultiplier is set"))
	case m.CapacityMultiplier != nil && m.CapacityMultiplier.Sign() <= 0:
		errs = append(errs, field.Invalid(by, m.CapacityMultiplier.String(), "must be positive"))
	}
	if m.DeviceMultiplier != nil && m.DeviceMultiplier.Sign() <= 0 {
		errs = append(errs, field.Invalid(at.Child("deviceMultiplier"), m.DeviceMultiplier.String(), "must be positive"))
	}
	return errs
}
