package main

import (
	"cmp"
	"fmt"
	"strings"
)

// hereFlags say which cluster of this machine a command looks after: that of the context, where nobody names one.
type hereFlags struct {
	Name    string `help:"Name of the cluster; that of the context when empty." placeholder:"NAME"`
	DataDir string `help:"Where its log, images and volumes are kept; /var/lib/stave/NAME when empty." placeholder:"DIR"`
}

// layout is where the cluster keeps its things. What is asked is asked of the same one.
func (f hereFlags) layout(s *session) (layout, error) {
	if f.Name == "" && f.DataDir == "" {
		name, err := clusterOf(s.globals)
		switch {
		case err == nil:
			return clusterFlags{Name: name}.layout()
		case s.Context != "":
			return layout{}, err
		} // there may be no kubeconfig, as under sudo, or somebody else's cluster in it
	}
	name := cmp.Or(f.Name, defaultCluster)
	s.Context = cmp.Or(s.Context, contextName(name))
	return clusterFlags{name, f.DataDir}.layout()
}

// clusterOf is the name of the context's cluster; the context itself may have been renamed.
func clusterOf(g globals) (string, error) {
	if _, _, err := findDoor(g); err != nil {
		return "", err
	}
	cfg, err := configRules(g.Kubeconfig).Load()
	if err != nil {
		return "", fmt.Errorf("read kubeconfig: %w", err)
	}
	entry := cfg.Contexts[cmp.Or(g.Context, cfg.CurrentContext)].Cluster
	if entry == contextName(defaultCluster) {
		return defaultCluster, nil
	}
	name, ok := strings.CutPrefix(entry, contextName(""))
	if !ok {
		return "", fmt.Errorf("cluster %q of the kubeconfig file has another name than 'stave up' gave it\nhelp: --name says which is meant", entry)
	}
	return name, nil
}
