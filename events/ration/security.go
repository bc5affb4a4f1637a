package ration

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What pods may get at of their node follows from the labels of their namespace: the Pod Security Standards, by the rules
// of Kubernetes' own admission and in its words.

// securityLabels begin the names of those labels.
const securityLabels = "pod-security.kubernetes.io/"

// newestRules is the last minor version of Kubernetes 1 that changed them.
const newestRules = 37

// latest stands for whichever is the newest.
const latest = -1

// The standards, each of which allows less than the one before.
const (
	privileged = iota
	baseline
	restricted
)

var profileNames = []string{"privileged", "baseline", "restricted"}

// Profile is one of the standards as a version of Kubernetes had it. The zero one allows everything.
type Profile struct{ level, minor int }

// String is how the profile is named to people.
func (p Profile) String() string {
	if p.minor == latest {
		return profileNames[p.level] + ":latest"
	}
	return profileNames[p.level] + ":v1." + strconv.Itoa(p.minor)
}

// Security is what a namespace wants of its pods: those that break Enforce are refused, those that break Warn are warned of.
type Security struct{ Enforce, Warn Profile }

// SecurityOf reads the labels of a namespace. What cannot be read enforces the most, and warns of nothing.
func SecurityOf(labels map[string]string) (Security, field.ErrorList) {
	s := Security{Profile{minor: latest}, Profile{minor: latest}}
	var errs field.ErrorList
	level := func(name string, to *int, otherwise int) bool {
		text, ok := labels[securityLabels+name]
		if !ok {
			return false
		}
		if *to = slices.Index(profileNames, text); *to < 0 {
			*to = otherwise
			errs = append(errs, field.Invalid(field.NewPath("metadata", "labels").Key(securityLabels+name), text, "must be one of "+strings.Join(profileNames, ", ")))
		}
		return true
	}
	version := func(name string, to *int) bool {
		text, ok := labels[securityLabels+name]
		if !ok {
			return false
		}
		if n, err := minorOf(text); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "labels").Key(securityLabels+name), text, err.Error()))
		} else {
			*to = n
		}
		return true
	}
	var audited Profile // there is no audit log: its labels are only read
	enforced := level("enforce", &s.Enforce.level, restricted) && len(errs) == 0
	version("enforce-version", &s.Enforce.minor)
	level("audit", &audited.level, privileged)
	version("audit-version", &audited.minor)
	warned := level("warn", &s.Warn.level, privileged)
	dated := version("warn-version", &s.Warn.minor)
	if !warned && enforced && s.Enforce.level > privileged {
		s.Warn.level = s.Enforce.level
		if !dated {
			s.Warn.minor = s.Enforce.minor
		}
	}
	return s, errs
}

var minorForm = regexp.MustCompile(`^v1\.([0-9]|[1-9][0-9]*)$`)

func minorOf(text string) (int, error) {
	if text == "latest" {
		return latest, nil
	}
	if m := minorForm.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf(`must be "latest" or "v1.x"`)
}

// Enforced says why a namespace lets no pod of a spec and with these annotations be, "" when it does.
func (s Security) Enforced(annotations map[string]string, spec *corev1.PodSpec) string {
	if said := s.Enforce.breach(annotations, spec); said != "" {
		return fmt.Sprintf("violates PodSecurity %q: %s", s.Enforce.String(), said)
	}
	return ""
}

// Warned is what a namespace warns of in a pod or a template, "" when of nothing.
func (s Security) Warned(annotations map[string]string, spec *corev1.PodSpec) string {
	if said := s.Warn.breach(annotations, spec); said != "" {
		return fmt.Sprintf("would violate PodSecurity %q: %s", s.Warn.String(), said)
	}
	return ""
}

// Lax tells whether no pod is refused.
func (s Security) Lax() bool { return s.Enforce.level == privileged }

// breach lists what a pod has that the profile does not allow.
func (p Profile) breach(annotations map[string]string, spec *corev1.PodSpec) string {
	if p.level == privileged {
		return ""
	}
	minor := p.minor
	if minor == latest || minor > newestRules {
		minor = newestRules
	}
	s := secured{PodSpec: spec, annotations: annotations, minor: minor}
	var said []string
	for _, r := range securityRules {
		if r.level > p.level || minor < r.since || minor > cmp.Or(r.until, newestRules) || p.level == restricted && r.stricter != nil && minor >= *r.stricter {
			continue
		}
		if reason, detail := r.check(s); detail != "" {
			said = append(said, reason+" ("+detail+")")
		}
	}
	return strings.Join(said, ", ")
}

// significant tells whether a pod is to be looked at again when it changes: as in Kubernetes, when something else runs in it.
func significant(old, next []corev1.Container) bool {
	return !slices.EqualFunc(old, next, func(a, b corev1.Container) bool { return a.Image == b.Image })
}

// Resecured tells whether a change of a pod asks anew what its namespace wants of it.
func Resecured(old, next *corev1.PodSpec) bool {
	if significant(old.Containers, next.Containers) || significant(old.InitContainers, next.InitContainers) {
		return true
	}
	return slices.ContainsFunc(next.EphemeralContainers, func(c corev1.EphemeralContainer) bool {
		return !slices.ContainsFunc(old.EphemeralContainers, func(o corev1.EphemeralContainer) bool { return o.Name == c.Name && o.Image == c.Image })
	})
}
