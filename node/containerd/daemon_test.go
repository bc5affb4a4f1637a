package containerd

import (
	"os"
	"testing"
)

// A containerd that is stopped at once ends, and its process goes on: its server once ended the process when it was stopped
// before it had begun to serve, and `stave down` said nothing and left half of a cluster.
func TestContainerdIsStoppedAtOnce(t *testing.T) {
	for range 20 {
		state, err := os.MkdirTemp("/tmp", "st") // a socket's path is short
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(state)
		d, err := embed(t.TempDir(), state)
		if err != nil {
			t.Fatal(err)
		}
		d.stop()
	}
}
