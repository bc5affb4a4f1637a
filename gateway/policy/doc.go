// Package policy says what a cluster's ValidatingAdmissionPolicies think of a
// request, and which requests a policy or a webhook is asked about. Expressions
// are CEL and are compiled and evaluated by Kubernetes' own code; this room looks
// up what they speak of in a state. It calls nobody: webhooks are in
// gateway/webhook.
package policy
