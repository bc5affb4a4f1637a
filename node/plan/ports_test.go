package plan

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestHostPorts(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
		{ContainerPort: 80}, {ContainerPort: 80, HostPort: 8080}, {ContainerPort: 53, HostPort: 53, Protocol: corev1.ProtocolUDP, HostIP: "127.0.0.1"},
		{ContainerPort: 3868, HostPort: 3868, Protocol: corev1.ProtocolSCTP}, // another pod's TCP is not to be taken for it
		{ContainerPort: 90, HostPort: 90, HostIP: "::1"}, {ContainerPort: 91, HostPort: 91, HostIP: "::"},
	}}}}}
	want := "[{TCP 0.0.0.0:8080 10.1.0.2:80} {UDP 127.0.0.1:53 10.1.0.2:53} {TCP 0.0.0.0:91 10.1.0.2:91}]"
	if got := fmt.Sprint(HostPorts(pod, netip.MustParseAddr("10.1.0.2"))); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if pod.Spec.HostNetwork = true; len(HostPorts(pod, netip.MustParseAddr("10.1.0.2"))) > 0 {
		t.Error("a pod on the node's network opens its ports itself")
	}
}
