package main

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/client-go/tools/clientcmd/api"
)

// configClustersCmd is `stave config get-clusters`.
type configClustersCmd struct{}

// Help implements kong's detailed help.
func (configClustersCmd) Help() string {
	return `Examples:
  stave config get-clusters`
}

// Run lists the clusters of all files.
func (configClustersCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	return listEntries(s, f.Clusters)
}

// configUsersCmd is `stave config get-users`.
type configUsersCmd struct{}

// Help implements kong's detailed help.
func (configUsersCmd) Help() string {
	return `Examples:
  stave config get-users`
}

// Run lists the users of all files.
func (configUsersCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	return listEntries(s, f.AuthInfos)
}

func listEntries[E any](s *session, entries map[string]E) error {
	fmt.Fprintln(s.out, "NAME")
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		fmt.Fprintln(s.out, name)
	}
	return nil
}

// configDropClusterCmd is `stave config delete-cluster`.
type configDropClusterCmd struct {
	Name string `arg:"" help:"Cluster."`
}

// Help implements kong's detailed help.
func (configDropClusterCmd) Help() string {
	return `Examples:
  stave config delete-cluster stave-old`
}

// Run deletes the entry; the cluster itself runs on.
func (c *configDropClusterCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	entry, ok := f.Clusters[c.Name]
	if !ok {
		return missingEntry(f, "cluster", c.Name, f.Clusters)
	}
	delete(f.Clusters, c.Name)
	return f.dropped(s, "cluster", c.Name, entry.LocationOfOrigin, func(x *api.Context) string { return x.Cluster })
}

// configDropUserCmd is `stave config delete-user`.
type configDropUserCmd struct {
	Name string `arg:"" help:"User."`
}

// Help implements kong's detailed help.
func (configDropUserCmd) Help() string {
	return `Examples:
  stave config delete-user stave-old`
}

// Run deletes the entry, not the file with the credential.
func (c *configDropUserCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	entry, ok := f.AuthInfos[c.Name]
	if !ok {
		return missingEntry(f, "user", c.Name, f.AuthInfos)
	}
	delete(f.AuthInfos, c.Name)
	return f.dropped(s, "user", c.Name, entry.LocationOfOrigin, func(x *api.Context) string { return x.AuthInfo })
}

func missingEntry[E any](f configFiles, what, name string, entries map[string]E) error {
	hint := didYouMean(name, slices.Collect(maps.Keys(entries)))
	if hint == "" {
		hint = fmt.Sprintf("\nhelp: 'stave config get-%ss' lists them", what)
	}
	return fmt.Errorf("cannot delete %s %s, not in %s%s", what, name, f.where(), hint)
}

// dropped writes the files without an entry and names the contexts that it
// leaves behind.
func (f configFiles) dropped(s *session, what, name, file string, named func(*api.Context) string) error {
	if err := f.save(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "deleted %s %s from %s\n", what, name, file)
	for _, context := range f.names() {
		if named(f.Contexts[context]) == name {
			fmt.Fprintf(s.err, "Warning: context %q still names it\n", context)
		}
	}
	return nil
}
