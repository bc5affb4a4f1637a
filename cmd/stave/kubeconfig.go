package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// extension is the name of Stave's part of a kubeconfig's cluster entry.
const extension = "stave.run"

// door is Stave's part of a cluster entry: where NATS answers and which file
// holds the credential. Whoever can read the file can use the cluster.
type door struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Address    string `json:"address"`    // nats://127.0.0.1:4222
	Credential string `json:"credential"` // path of a 0600 file
}

// contextName is the kubeconfig context of a cluster.
func contextName(cluster string) string {
	if cluster == defaultCluster {
		return "stave"
	}
	return "stave-" + cluster
}

// configRules finds the kubeconfig files as kubectl does.
func configRules(explicit string) *clientcmd.ClientConfigLoadingRules {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = explicit
	rules.WarnIfAllMissing = false
	return rules
}

// findDoor reads the wanted context's door and namespace.
func findDoor(g globals) (door, string, error) {
	cfg, err := configRules(g.Kubeconfig).Load()
	if errors.Is(err, os.ErrNotExist) {
		return door{}, "", fmt.Errorf("read kubeconfig: %w\nhelp: 'stave up' writes one, or leave --kubeconfig out", err)
	}
	if err != nil {
		return door{}, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	name := g.Context
	if name == "" {
		name = cfg.CurrentContext
	}
	if name == "" {
		return door{}, "", errors.New("no cluster is chosen: the kubeconfig file has no current context\nhelp: start a cluster with 'stave up', or name one with --context")
	}
	c, ok := cfg.Contexts[name]
	if !ok {
		names := slices.Sorted(maps.Keys(cfg.Contexts))
		return door{}, "", fmt.Errorf("context %q does not exist in the kubeconfig file\nhelp: there are: %s", name, strings.Join(append(names, "others after 'stave up --name NAME'"), ", "))
	}
	cluster, ok := cfg.Clusters[c.Cluster]
	if !ok {
		return door{}, "", fmt.Errorf("cluster %q of context %q does not exist in the kubeconfig file", c.Cluster, name)
	}
	d, err := readDoor(cluster)
	if err != nil {
		return door{}, "", fmt.Errorf("read context %q: %w", name, err)
	}
	return d, c.Namespace, nil
}

func readDoor(c *api.Cluster) (door, error) {
	raw, ok := c.Extensions[extension].(*runtime.Unknown)
	if !ok {
		return door{}, fmt.Errorf("its cluster %s is not one of Stave's\nhelp: choose another context with --context", c.Server)
	}
	var d door
	if err := json.Unmarshal(raw.Raw, &d); err != nil {
		return door{}, fmt.Errorf("decode its %s extension: %w", extension, err)
	}
	return d, nil
}

// writeDoor enters a cluster into the kubeconfig file and makes it the current
// context.
func writeDoor(explicit, cluster string, k kubeDoor, d door) (path string, err error) {
	path = configRules(explicit).GetDefaultFilename()
	name := contextName(cluster)
	d.APIVersion, d.Kind = "stave.run/v1", "Door"
	raw, err := json.Marshal(d)
	if err != nil {
		return path, fmt.Errorf("encode door: %w", err)
	}
	return path, editConfig(path, func(cfg *api.Config) {
		cfg.Clusters[name] = &api.Cluster{Server: d.Address, Extensions: map[string]runtime.Object{extension: &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}}}
		cfg.AuthInfos[name] = &api.AuthInfo{TokenFile: d.Credential}
		if k.Server != "" { // kubectl and its like come in here
			cfg.Clusters[name].Server, cfg.Clusters[name].CertificateAuthority = k.Server, k.Authority
			cfg.AuthInfos[name] = &api.AuthInfo{ClientCertificate: k.Person.Certificate, ClientKey: k.Person.Key}
		}
		namespace := ""
		if old, ok := cfg.Contexts[name]; ok {
			namespace = old.Namespace // a person's choice outlives a restart
		}
		cfg.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
		cfg.CurrentContext = name
	})
}

// dropDoor takes a cluster out of the kubeconfig file. One that does not name it
// is left as its owner wrote it.
func dropDoor(explicit, cluster string) error {
	path := configRules(explicit).GetDefaultFilename()
	cfg, err := clientcmd.LoadFromFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read kubeconfig %s: %w", path, err)
	}
	name := contextName(cluster)
	if cfg.Clusters[name] == nil && cfg.AuthInfos[name] == nil && cfg.Contexts[name] == nil {
		return nil
	}
	return editConfig(path, func(cfg *api.Config) {
		delete(cfg.Clusters, name)
		delete(cfg.AuthInfos, name)
		delete(cfg.Contexts, name)
		if cfg.CurrentContext == name {
			cfg.CurrentContext = ""
		}
	})
}

// editConfig changes a kubeconfig file. Clusters that start at the same moment
// wait for each other on its directory.
func editConfig(path string, edit func(*api.Config)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir.Name(), err)
	}
	cfg, err := clientcmd.LoadFromFile(path)
	if errors.Is(err, os.ErrNotExist) {
		cfg, err = api.NewConfig(), nil
	}
	if err != nil {
		return fmt.Errorf("read kubeconfig %s: %w", path, err)
	}
	edit(cfg)
	raw, err := clientcmd.Write(*cfg)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	if err := replaceFile(path, raw); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	return nil
}

// replaceFile writes a file anew, whole or not at all. It stays where a link
// leads and with whom it belonged to: root may write a person's.
func replaceFile(path string, raw []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".kubeconfig-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if old, err := os.Stat(path); err == nil {
		owner := old.Sys().(*syscall.Stat_t)
		if err := errors.Join(tmp.Chmod(old.Mode().Perm()), tmp.Chown(int(owner.Uid), int(owner.Gid))); err != nil {
			return errors.Join(err, tmp.Close())
		}
	}
	_, err = tmp.Write(raw)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
