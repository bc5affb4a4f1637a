package main

import (
	"errors"
	"fmt"

	"k8s.io/client-go/tools/clientcmd/api"
)

// configUseCmd is `stave config use-context`.
type configUseCmd struct {
	Name string `arg:"" help:"Context."`
}

// Help implements kong's detailed help.
func (configUseCmd) Help() string {
	return `Examples:
  stave config use-context blue`
}

// Run makes a context the one in use.
func (c *configUseCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	if _, ok := f.Contexts[c.Name]; !ok {
		return f.unknown("no context exists with the name: %q", c.Name)
	}
	f.CurrentContext = c.Name
	if err := f.save(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Switched to context %q.\n", c.Name)
	return nil
}

// configSetCmd is `stave config set-context`; --namespace is the flag of all verbs.
type configSetCmd struct {
	Current bool    `help:"The context in use."`
	Cluster *string `help:"Its cluster entry." placeholder:"NAME"`
	User    *string `help:"Its user entry." placeholder:"NAME"`
	Name    string  `arg:"" optional:"" help:"Context; made when it is not there."`
}

// Help implements kong's detailed help.
func (configSetCmd) Help() string {
	return `Examples:
  stave config set-context blue --cluster=stave --user=stave --namespace=blue
  stave config set-context --current --namespace=blue`
}

// Run changes what is given and leaves the rest of the context.
func (c *configSetCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	name, err := c.named(f)
	if err != nil {
		return err
	}
	done := "modified"
	x, ok := f.Contexts[name]
	if !ok {
		x, done = api.NewContext(), "created"
		f.Contexts[name] = x
	}
	if c.Cluster != nil {
		x.Cluster = *c.Cluster
	}
	if c.User != nil {
		x.AuthInfo = *c.User
	}
	if s.Namespace != "" {
		x.Namespace = s.Namespace
	}
	if err := f.save(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Context %q %s.\n", name, done)
	c.warn(s, f, name)
	return nil
}

func (c *configSetCmd) named(f configFiles) (string, error) {
	switch {
	case c.Current && c.Name != "":
		return "", errors.New("you cannot specify both a context name and --current")
	case c.Current && f.CurrentContext == "":
		return "", errors.New("no current context is set")
	case c.Current:
		return f.CurrentContext, nil
	case c.Name == "":
		return "", errors.New("you must specify a non-empty context name or --current")
	}
	return c.Name, nil
}

// warn tells of entries that the context names and no file has: kubectl lets
// people find that out with the next command.
func (c *configSetCmd) warn(s *session, f configFiles, name string) {
	x := f.Contexts[name]
	if _, ok := f.Clusters[x.Cluster]; !ok && x.Cluster != "" {
		fmt.Fprintf(s.err, "Warning: there is no cluster %q in the kubeconfig file\n", x.Cluster)
	}
	if _, ok := f.AuthInfos[x.AuthInfo]; !ok && x.AuthInfo != "" {
		fmt.Fprintf(s.err, "Warning: there is no user %q in the kubeconfig file\n", x.AuthInfo)
	}
}

// configRenameCmd is `stave config rename-context`.
type configRenameCmd struct {
	From string `arg:"" help:"Context."`
	To   string `arg:"" help:"Its new name."`
}

// Help implements kong's detailed help.
func (configRenameCmd) Help() string {
	return `Examples:
  stave config rename-context blue navy`
}

// Run renames; the context in use stays the one in use.
func (c *configRenameCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	x, ok := f.Contexts[c.From]
	if !ok {
		return f.unknown("cannot rename the context %q, it's not in %s", c.From, f.where())
	}
	if _, taken := f.Contexts[c.To]; taken {
		return fmt.Errorf("cannot rename the context %q, the context %q already exists in %s", c.From, c.To, f.where())
	}
	delete(f.Contexts, c.From)
	f.Contexts[c.To] = x
	if f.CurrentContext == c.From {
		f.CurrentContext = c.To
	}
	if err := f.save(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Context %q renamed to %q.\n", c.From, c.To)
	return nil
}

// configDeleteCmd is `stave config delete-context`.
type configDeleteCmd struct {
	Name string `arg:"" help:"Context."`
}

// Help implements kong's detailed help.
func (configDeleteCmd) Help() string {
	return `Examples:
  stave config delete-context blue`
}

// Run deletes the context, not its cluster and user.
func (c *configDeleteCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	x, ok := f.Contexts[c.Name]
	if !ok {
		return f.unknown("cannot delete context %s, not in %s", c.Name, f.where())
	}
	if f.CurrentContext == c.Name {
		fmt.Fprintln(s.err, `warning: this removed your active context, use "stave config use-context" to select a different one`)
	}
	file := x.LocationOfOrigin
	delete(f.Contexts, c.Name)
	if err := f.save(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "deleted context %s from %s\n", c.Name, file)
	return nil
}
