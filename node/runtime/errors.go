package runtime

import "fmt"

// PullReason is the class of a failed pull.
type PullReason string

// The classes of failed pulls.
const (
	// PullInvalidName: the reference cannot be parsed (Kubernetes' InvalidImageName).
	PullInvalidName PullReason = "invalid name"
	// PullNotFound: the registry has no such repository or tag, or no image for this platform.
	PullNotFound PullReason = "not found"
	// PullUnauthorized: the registry wants credentials, or others.
	PullUnauthorized PullReason = "unauthorized"
	// PullUnreachable: no registry answered.
	PullUnreachable PullReason = "unreachable"
	// PullFailed is everything else; Err has the words.
	PullFailed PullReason = "failed"
)

// PullError says why an image is not here; Err holds the registry's own words.
type PullError struct {
	Ref    string
	Reason PullReason
	Err    error
}

// Error is the long form, with the registry's words.
func (e *PullError) Error() string {
	return fmt.Sprintf("pull image %q: %s: %v", e.Ref, e.Reason, e.Err)
}

// Unwrap gives the registry client's error.
func (e *PullError) Unwrap() error { return e.Err }

// Reasons of CreateError, in Kubernetes' words for a container that waits.
const (
	// CreateFailed: containerd or the kernel refused.
	CreateFailed = "CreateContainerError"
	// CreateConfig: the spec cannot be honoured: no such user in the image, root where NonRoot was asked for.
	CreateConfig = "CreateContainerConfigError"
	// CreateImageMissing: the image is not on this node.
	CreateImageMissing = "ErrImageNeverPull"
)

// CreateError says why there is no container to start.
type CreateError struct {
	Name   string
	Reason string
	Err    error
}

// Error is the long form.
func (e *CreateError) Error() string { return fmt.Sprintf("create container %q: %v", e.Name, e.Err) }

// Unwrap gives the cause.
func (e *CreateError) Unwrap() error { return e.Err }

// StartReason is what went wrong between a created container and its first instruction.
type StartReason string

// The classes of failed starts.
const (
	// StartNotFound: the command, or the interpreter it names, is not in the image.
	StartNotFound StartReason = "command not found"
	// StartDenied: the command may not be executed.
	StartDenied StartReason = "permission denied"
	// StartFailed is everything else: a mount, a cgroup, a namespace.
	StartFailed StartReason = "failed"
)

// StartErrorCode is the exit code that Kubernetes shows for a container whose command could not be started (with the
// reason StartError), whatever the cause; it is never the command's own.
const StartErrorCode = 128

// StartError says why a process did not start; kubectl shows it as RunContainerError. Message holds runc's own words.
type StartError struct {
	Reason  StartReason
	Message string
	Err     error
}

// Error is runc's words.
func (e *StartError) Error() string { return e.Message }

// Unwrap gives containerd's error.
func (e *StartError) Unwrap() error { return e.Err }
