package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/projections/table"
)

// configCmd is `stave config`. It reads and writes kubeconfig files and asks no
// cluster: it works when nothing answers.
type configCmd struct {
	View           configViewCmd        `cmd:"" help:"Print the kubeconfig files as one; secrets are left out."`
	CurrentContext configCurrentCmd     `cmd:"" help:"Print the name of the context in use."`
	GetContexts    configListCmd        `cmd:"" help:"List the contexts, or show some."`
	UseContext     configUseCmd         `cmd:"" aliases:"use" help:"Work with another context from now on."`
	SetContext     configSetCmd         `cmd:"" help:"Make a context, or change what is given of one."`
	RenameContext  configRenameCmd      `cmd:"" help:"Give a context another name."`
	DeleteContext  configDeleteCmd      `cmd:"" help:"Delete a context."`
	GetClusters    configClustersCmd    `cmd:"" help:"List the clusters."`
	GetUsers       configUsersCmd       `cmd:"" help:"List the users."`
	DeleteCluster  configDropClusterCmd `cmd:"" help:"Delete a cluster, not the contexts that name it."`
	DeleteUser     configDropUserCmd    `cmd:"" help:"Delete a user, not the contexts that name it."`
}

// configFiles is every kubeconfig file of the command as one, and how to write back.
type configFiles struct {
	rules *clientcmd.ClientConfigLoadingRules
	*api.Config
}

func (s *session) configFiles() (configFiles, error) {
	rules := configRules(s.Kubeconfig)
	cfg, err := rules.Load()
	if err != nil {
		return configFiles{}, fmt.Errorf("read kubeconfig: %w", err)
	}
	return configFiles{rules, cfg}, nil
}

// save writes each entry to the file it came from, a new one to the first that exists.
func (f configFiles) save() error {
	if err := clientcmd.ModifyConfig(f.rules, *f.Config, true); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// where names the file that kubectl names in its messages.
func (f configFiles) where() string { return f.rules.GetDefaultFilename() }

// names are the contexts in order.
func (f configFiles) names() []string { return slices.Sorted(maps.Keys(f.Contexts)) }

// unknown says that a context is not there, and which one may be meant.
func (f configFiles) unknown(format string, args ...any) error {
	name, _ := args[0].(string)
	hint := didYouMean(name, f.names())
	if hint == "" {
		hint = "\nhelp: 'stave config get-contexts' lists them"
	}
	return fmt.Errorf("%s%s", fmt.Sprintf(format, args...), hint)
}

// configViewCmd is `stave config view`.
type configViewCmd struct {
	Minify  bool   `help:"Only what the context in use needs."`
	Raw     bool   `help:"Print secrets too."`
	Flatten bool   `help:"Put the contents of certificate files in their places."`
	Output  format `short:"o" help:"yaml, json or jsonpath=…" default:"yaml" placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (configViewCmd) Help() string {
	return `Examples:
  stave config view
  stave config view --minify -o jsonpath={..namespace}`
}

// Run prints the files as one.
func (c *configViewCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	if s.Context != "" {
		f.CurrentContext = s.Context
	}
	if err := c.cut(f.Config); err != nil {
		return err
	}
	raw, err := clientcmd.Write(*f.Config)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	doc, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	return s.printDocument(c.Output, doc)
}

// cut leaves out what was not asked for: other contexts, and secrets.
func (c *configViewCmd) cut(cfg *api.Config) error {
	if c.Minify {
		if err := api.MinifyConfig(cfg); err != nil {
			return fmt.Errorf("minify kubeconfig: %w", err)
		}
	}
	switch {
	case c.Flatten:
		if err := api.FlattenConfig(cfg); err != nil {
			return fmt.Errorf("flatten kubeconfig: %w", err)
		}
	case !c.Raw:
		api.ShortenConfig(cfg)
	}
	if c.Raw {
		return nil
	}
	if err := api.RedactSecrets(cfg); err != nil {
		return fmt.Errorf("redact kubeconfig: %w", err)
	}
	return nil
}

// configCurrentCmd is `stave config current-context`.
type configCurrentCmd struct{}

// Help implements kong's detailed help.
func (configCurrentCmd) Help() string {
	return `Examples:
  stave config current-context`
}

// Run prints the name.
func (*configCurrentCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	if f.CurrentContext == "" {
		return errors.New("current-context is not set\nhelp: stave config use-context NAME")
	}
	fmt.Fprintln(s.out, f.CurrentContext)
	return nil
}

// configListCmd is `stave config get-contexts`.
type configListCmd struct {
	NoHeaders bool     `help:"Print no header line."`
	Output    format   `short:"o" help:"name: print only the names." placeholder:"FORMAT"`
	Names     []string `arg:"" optional:"" name:"name" help:"Contexts; all when none is named."`
}

// Help implements kong's detailed help.
func (configListCmd) Help() string {
	return `Examples:
  stave config get-contexts
  stave config get-contexts -o name`
}

// Run lists the contexts, the one in use marked.
func (c *configListCmd) Run(s *session) error {
	f, err := s.configFiles()
	if err != nil {
		return err
	}
	if c.Output != formatTable && c.Output != formatName {
		return fmt.Errorf("output must be one of '' or 'name': %s", c.Output)
	}
	names := c.Names
	if len(names) == 0 {
		names = f.names()
	}
	var errs []error
	t := table.Table{Columns: []table.Column{{Name: "CURRENT"}, {Name: "NAME"}, {Name: "CLUSTER"}, {Name: "AUTHINFO"}, {Name: "NAMESPACE"}}}
	for _, name := range names {
		x, ok := f.Contexts[name]
		if !ok {
			errs = append(errs, f.unknown("context %s not found", name))
			continue
		}
		mark := ""
		if name == f.CurrentContext {
			mark = "*"
		}
		if c.Output == formatName {
			fmt.Fprintln(s.out, name)
		}
		t.Rows = append(t.Rows, table.Row{Cells: []string{mark, name, x.Cluster, x.AuthInfo, x.Namespace}})
	}
	if c.Output == formatTable && (len(t.Rows) > 0 || len(errs) == 0) {
		fmt.Fprint(s.out, table.Print(t, table.Options{NoHeaders: c.NoHeaders}))
	}
	return errors.Join(errs...)
}
