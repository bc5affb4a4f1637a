package manifest

// unlabelled is what becomes of the marks of security modules: a container that runs without the confinement that its
// author counted on is worse than one that does not run.
const unlabelled = "it cannot be honoured yet, and to ignore it would weaken security"

// podSecurity and containerSecurity: what would take rights away and is not done is refused.
func podSecurity() verdict {
	return verdict{fields: map[string]verdict{
		"*": {refuse: unlabelled}, "runAsUser": {}, "runAsGroup": {}, "runAsNonRoot": {}, "supplementalGroups": {}, "supplementalGroupsPolicy": {},
		"fsGroup": {}, "fsGroupChangePolicy": {}, "sysctls": {}, "seccompProfile": {}, "appArmorProfile": appArmor(),
	}}
}

func containerSecurity() verdict {
	return verdict{fields: map[string]verdict{
		"*": {refuse: unlabelled}, "runAsUser": {}, "runAsGroup": {}, "runAsNonRoot": {}, "privileged": {}, "allowPrivilegeEscalation": {},
		"readOnlyRootFilesystem": {}, "capabilities": {}, "seccompProfile": {}, "appArmorProfile": appArmor(),
		"procMount": {refuse: "paths of /proc are always masked, but for privileged containers", unless: "Default"},
	}}
}

// appArmor honours the one profile that asks for nothing.
func appArmor() verdict {
	return verdict{fields: map[string]verdict{"*": {refuse: unlabelled}, "type": {refuse: "AppArmor profiles are not loaded yet, and to ignore it would weaken security", unless: "Unconfined"}}}
}
