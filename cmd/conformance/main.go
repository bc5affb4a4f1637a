// Command conformance runs Kubernetes' own end-to-end suite against Stave: it builds the suite, its tools and its images
// from their sources, starts a cluster of its own on this machine, runs one area of the suite after the other, and prints
// for each a row of the table in docs/conformance.md. `just conformance` is its door; --help has examples.
//
// What fails and is known is told in known.go, in words; anything else that fails makes the command fail.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// flags are what can be asked for.
type flags struct {
	Area    []string      `help:"Areas to run (sig-node, sig-cli); all that have specs when empty." placeholder:"AREA,…"`
	Focus   string        `help:"Only specs whose name matches." placeholder:"REGEXP"`
	Skip    string        `help:"No specs whose name matches." placeholder:"REGEXP"`
	Labels  string        `help:"Only specs whose labels fit." default:"Conformance" placeholder:"EXPRESSION"`
	Nodes   int           `help:"Real nodes of the cluster." default:"2" placeholder:"N"`
	Hollow  int           `help:"Pretended nodes instead; the one real node is tainted, so that nothing runs there. Specs whose containers have to do something cannot pass." placeholder:"N"`
	Procs   int           `help:"How many specs run at a time; those that are serial run one by one." default:"4" placeholder:"N"`
	Again   bool          `help:"What failed, and not for a known reason, is run again by itself, and its last run counts." default:"true" negatable:""`
	Timeout time.Duration `help:"How long one area may take." default:"3h"`
	Out     string        `help:"Where reports and logs are written; below the user's cache when empty." placeholder:"DIR"`
	Update  bool          `help:"Put the rows into docs/conformance.md."`
	Keep    bool          `help:"Leave the cluster and its registry running at the end, until Ctrl-C."`
	List    bool          `help:"Only list the specs."`
	Stave   string        `help:"The stave to try." default:"bin/stave" placeholder:"FILE"`
}

// Help implements kong's detailed help.
func (flags) Help() string {
	return `The first run compiles for some minutes. Everything runs on this machine, as root; the suite's images are made of
sources and Debian packages and served on loopback. Ctrl-C takes all away again.

Examples:
  ./just conformance                                     all of Conformance, area by area, on two nodes
  ./just conformance --area sig-cli --update             one area; its row goes into docs/conformance.md
  ./just conformance --focus 'StatefulSet.*scaling'      some specs
  ./just conformance --area sig-scheduling --hollow 4    on pretended nodes
  ./just conformance --area sig-apps --labels '!Conformance && Feature: isEmpty'`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("conformance"), kong.Description("Run Kubernetes' own end-to-end suite against Stave."), kong.UsageOnError())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := f.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func (f *flags) run(ctx context.Context) (err error) {
	if f.Update && (f.Focus != "" || f.Skip != "") {
		return errors.New("--update tells of whole areas: leave --focus and --skip out")
	}
	t, err := build(ctx)
	if err != nil {
		return err
	}
	if f.Out, err = makeOut(f.Out, t); err != nil {
		return err
	}
	s := &suite{tools: t, procs: f.Procs, out: f.Out, timeout: f.Timeout}
	specs, err := s.list(ctx, f.Labels, f.Focus, f.Skip)
	if err != nil {
		return err
	}
	areas, err := f.areas(specs)
	if err != nil {
		return err
	}
	if f.List {
		for _, a := range areas {
			for _, one := range specsOf(specs, a) {
				fmt.Println(one.name)
			}
		}
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("this runs real containers and needs root: sudo ./just conformance")
	}
	return f.onCluster(ctx, s, specs, areas)
}

// areas are those to run, in the order of the alphabet.
func (f *flags) areas(specs []spec) ([]string, error) {
	var all []string
	for _, one := range specs {
		if !slices.Contains(all, one.area) {
			all = append(all, one.area)
		}
	}
	slices.Sort(all)
	for _, a := range f.Area {
		if !slices.Contains(all, a) {
			return nil, fmt.Errorf("no spec of %s is asked for; there are: %s", a, strings.Join(all, ", "))
		}
	}
	if len(f.Area) > 0 {
		return f.Area, nil
	}
	if len(all) == 0 {
		return nil, errors.New("no spec is asked for: look at --labels, --focus and --skip")
	}
	return all, nil
}

// makeOut makes the folder of the reports: one that is new, unless somebody names it.
func makeOut(dir string, t *tools) (string, error) {
	if dir == "" {
		dir = filepath.Join(t.dir, "results", time.Now().Format("2006-01-02T15-04-05"))
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("make folder of reports: %w", err)
	}
	return dir, nil
}

// onCluster runs areas on a cluster that is there for them alone.
func (f *flags) onCluster(ctx context.Context, s *suite, specs []spec, areas []string) (err error) {
	registry, err := serve(ctx, s.tools, filepath.Join(s.out, "certs.d"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, registry.Close()) }()
	c := &cluster{stave: f.Stave, tools: s.tools, nodes: f.Nodes, hollow: f.Hollow}
	defer func() { err = errors.Join(err, c.down()) }()
	if err := c.up(ctx, registry.HostsDir); err != nil {
		return err
	}
	s.cluster = c
	failed := f.eachArea(ctx, s, specs, areas)
	if f.Keep && ctx.Err() == nil {
		say("the cluster stays until Ctrl-C: export KUBECONFIG=%s", c.kubeconfig)
		<-ctx.Done()
	}
	return failed
}

// eachArea runs the areas and prints their rows; what fails and is not known becomes the error.
func (f *flags) eachArea(ctx context.Context, s *suite, specs []spec, areas []string) error {
	var unknown []string
	for _, a := range areas {
		results, err := s.run(ctx, specsOf(specs, a), f.Again)
		if err != nil {
			return fmt.Errorf("run %s: %w", a, err)
		}
		r := row{area: a, labels: f.Labels, nodes: f.nodes(), results: results}
		fmt.Println(r)
		if err := r.keep(s.out); err != nil {
			return err
		}
		if f.Update {
			if err := updateTable("docs/conformance.md", r); err != nil {
				return err
			}
		}
		unknown = append(unknown, r.unknown()...)
	}
	say("reports and logs are in %s", s.out)
	if len(unknown) > 0 {
		return fmt.Errorf("%d specs failed, and known.go does not know them:\n  %s", len(unknown), strings.Join(unknown, "\n  "))
	}
	return nil
}

// nodes says what the specs ran on, for the table.
func (f *flags) nodes() string {
	if f.Hollow > 0 {
		return "pretended"
	}
	return "real"
}

// say tells where the command is, beside the rows that it prints.
func say(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, a...))
}
