package manifest

// unlabelled is what becomes of the marks of security modules: a container that runs without the confinement that its
// author counted on is worse than one that does not run.
const unlabelled = "it cannot be honoured yet, and to ignore it would weaken security"

// labelled is what becomes of SELinux labels: as in Kubernetes they say nothing where the kernel has no SELinux. A node that has it
// does not start the container, because Stave sets no labels.
const labelled = "SELinux labels have no effect on nodes without SELinux, and nodes with it do not start the container: labels are not set yet"

// foreign is what becomes of options for Windows: as in Kubernetes they say nothing to a container of Linux.
const foreign = "it says something to Windows alone, and nodes run Linux"

// podSecurity and containerSecurity: what would take rights away and is not done is refused.
func podSecurity() verdict {
	return verdict{fields: map[string]verdict{
		"*": {refuse: unlabelled}, "runAsUser": {}, "runAsGroup": {}, "runAsNonRoot": {}, "supplementalGroups": {}, "supplementalGroupsPolicy": {},
		"fsGroup": {}, "fsGroupChangePolicy": {}, "sysctls": {}, "seccompProfile": {}, "appArmorProfile": appArmor(),
		"seLinuxOptions": {warn: labelled}, "seLinuxChangePolicy": {warn: labelled}, "windowsOptions": {warn: foreign},
	}}
}

func containerSecurity() verdict {
	return verdict{fields: map[string]verdict{
		"*": {refuse: unlabelled}, "runAsUser": {}, "runAsGroup": {}, "runAsNonRoot": {}, "privileged": {}, "allowPrivilegeEscalation": {},
		"readOnlyRootFilesystem": {}, "capabilities": {}, "seccompProfile": {}, "appArmorProfile": appArmor(),
		"seLinuxOptions": {warn: labelled}, "windowsOptions": {warn: foreign},
		"procMount": {refuse: "paths of /proc are always masked, but for privileged containers", unless: "Default"},
	}}
}

// appArmor honours the one profile that asks for nothing.
func appArmor() verdict {
	return verdict{fields: map[string]verdict{"*": {refuse: unlabelled}, "type": {refuse: "AppArmor profiles are not loaded yet, and to ignore it would weaken security", unless: "Unconfined"}}}
}
