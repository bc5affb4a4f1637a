package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// Machines change networks while their agent runs: each pod gets the name servers that there are when it begins.
func TestPodsGetTheNameServersOfTheirTime(t *testing.T) {
	server := ""
	a := &Agent{o: Options{DataDir: t.TempDir()}, now: time.Now, host: func() hostFiles { return hostFiles{resolv: "nameserver " + server + "\n"} }}
	row := &projections.DesiredPod{Pod: corev1.Pod{Spec: corev1.PodSpec{DNSPolicy: corev1.DNSDefault}}}
	for _, server = range []string{"192.0.2.1", "192.0.2.2"} {
		w := newWorker(a, "u")
		if err := w.writeEtc(row, "10.0.0.2"); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(a.etcDir("u"), "resolv.conf")); err != nil || !strings.Contains(string(b), server) {
			t.Errorf("%s, %v, want %s", b, err, server)
		}
	}
}
