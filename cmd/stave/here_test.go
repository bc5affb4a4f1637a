package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd/api"
)

// Who looks after a cluster of this machine means the context's, unless somebody says another; what is asked is asked of the same one.
func TestWhichClusterIsHere(t *testing.T) {
	dir := t.TempDir()
	file, none, foreign := filepath.Join(dir, "config"), filepath.Join(dir, "none"), filepath.Join(dir, "foreign")
	for _, name := range []string{defaultCluster, "here-a", "here-b"} {
		if _, err := writeDoor(file, name, kubeDoor{}, door{Address: "nats://127.0.0.1:1"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := editConfig(file, func(c *api.Config) { c.Contexts["mine"] = c.Contexts["stave-here-a"] }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign, []byte("{apiVersion: v1, kind: Config, current-context: k, contexts: [{name: k, context: {cluster: k}}], clusters: [{name: k, cluster: {server: 'https://k'}}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, context string
		flags         hereFlags
		name, asked   string // asked is the context, empty for the current one
	}{
		{file, "", hereFlags{}, "here-b", ""},
		{file, "mine", hereFlags{}, "here-a", "mine"},
		{file, "stave", hereFlags{}, defaultCluster, "stave"},
		{file, "", hereFlags{Name: "here-a"}, "here-a", "stave-here-a"},
		{file, "mine", hereFlags{Name: "here-b"}, "here-b", "mine"},
		{file, "", hereFlags{DataDir: dir}, defaultCluster, "stave"},
		{none, "", hereFlags{}, defaultCluster, "stave"},
		{foreign, "", hereFlags{}, defaultCluster, "stave"},
	} {
		t.Setenv("KUBECONFIG", c.file)
		s := &session{}
		s.Context = c.context
		if l, err := c.flags.layout(s); err != nil || l.name != c.name || s.Context != c.asked {
			t.Errorf("%+v: cluster %q, asked %q, %v", c, l.name, s.Context, err)
		}
	}
	s := &session{}
	s.Context = "nobody"
	if _, err := (hereFlags{}).layout(s); err == nil || !strings.Contains(err.Error(), `context "nobody" does not exist`) {
		t.Errorf("%v", err)
	}
}
