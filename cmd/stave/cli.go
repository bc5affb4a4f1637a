package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// globals are the flags that every verb takes.
type globals struct {
	Kubeconfig     string        `help:"Kubeconfig file to use; KUBECONFIG or ~/.kube/config when empty." placeholder:"FILE"`
	Context        string        `help:"Context of the kubeconfig file to use." placeholder:"NAME"`
	Namespace      string        `short:"n" help:"Namespace of the request." placeholder:"NAME"`
	RequestTimeout time.Duration `help:"How long to wait for one answer." default:"30s"`
	Quiet          bool          `help:"Print no progress and no hints."`
}

// cli is every verb, grouped as kubectl groups them.
type cli struct {
	globals

	Up   upCmd   `cmd:"" group:"Cluster" help:"Start a cluster on this machine, or take an existing one up again."`
	Down downCmd `cmd:"" group:"Cluster" help:"Stop a cluster; nothing stays running, mounted or pinned."`

	Log logCmd `cmd:"" group:"Cluster" help:"Look after the cluster's log: status, verify, archive, restore."`

	Node nodeCmd `cmd:"" group:"Cluster" help:"Make nodes, let them in and take them out."`

	Apply       applyCmd       `cmd:"" group:"Changing" help:"Make the cluster hold what manifests say (three-way merge)."`
	Create      createCmd      `cmd:"" group:"Changing" help:"Create objects from manifests, or a namespace by name."`
	Delete      deleteCmd      `cmd:"" group:"Changing" help:"Delete objects by manifest, name or label."`
	Scale       scaleCmd       `cmd:"" group:"Changing" help:"Set how many replicas a workload has."`
	Autoscale   autoscaleCmd   `cmd:"" group:"Changing" help:"Let what pods use decide how many replicas a workload has."`
	Patch       patchCmd       `cmd:"" group:"Changing" help:"Change fields of objects by a patch."`
	Replace     replaceCmd     `cmd:"" group:"Changing" help:"Replace objects by manifests, whole."`
	Edit        editCmd        `cmd:"" group:"Changing" help:"Change objects in your editor."`
	Diff        diffCmd        `cmd:"" group:"Changing" help:"Show what an apply would change, or what changed between two moments."`
	Expose      exposeCmd      `cmd:"" group:"Changing" help:"Make a service in front of a workload, a pod or a service."`
	Set         setCmd         `cmd:"" group:"Changing" help:"Set images, environment and resources of containers."`
	Label       labelCmd       `cmd:"" group:"Changing" help:"Set and take away labels."`
	Annotate    annotateCmd    `cmd:"" group:"Changing" help:"Set and take away annotations."`
	Rollout     rolloutCmd     `cmd:"" group:"Changing" help:"Follow, repeat, stop or take back the rollout of a workload."`
	Certificate certificateCmd `cmd:"" group:"Changing" help:"Approve or deny requests for certificates."`
	Run         runCmd         `cmd:"" group:"Changing" help:"Run one pod from an image, attached to it if you like."`

	nodeVerbs

	Get          getCmd          `cmd:"" group:"Looking" help:"List objects, or show some."`
	Describe     describeCmd     `cmd:"" group:"Looking" help:"Tell about objects at length, with their events."`
	Logs         logsCmd         `cmd:"" group:"Looking" help:"Print what a container wrote."`
	Exec         execCmd         `cmd:"" group:"Looking" help:"Run a command in a container."`
	Attach       attachCmd       `cmd:"" group:"Looking" help:"Join the streams of a running container."`
	Cp           cpCmd           `cmd:"" group:"Looking" help:"Copy files and directories to and from containers."`
	PortForward  portForwardCmd  `cmd:"" name:"port-forward" group:"Looking" help:"Lead ports of this machine to a pod."`
	Wait         waitCmd         `cmd:"" group:"Looking" help:"Wait until objects are as asked."`
	Status       statusCmd       `cmd:"" group:"Looking" help:"Show what is wrong with the cluster, why, since when, and what to do."`
	Tree         treeCmd         `cmd:"" group:"Looking" help:"Show what belongs to an object, whom it belongs to, and how all of it is."`
	Top          topCmd          `cmd:"" group:"Looking" help:"Show what nodes and pods use of CPU and memory."`
	Auth         authCmd         `cmd:"" group:"Looking" help:"Tell as whom you are known."`
	ClusterInfo  clusterInfoCmd  `cmd:"" name:"cluster-info" group:"Looking" help:"Show where the cluster answers, and how it is."`
	Config       configCmd       `cmd:"" group:"Looking" help:"Read and change kubeconfig files: contexts and their namespaces."`
	Events       eventsCmd       `cmd:"" group:"Looking" help:"List what happened, in Kubernetes' words."`
	APIResources apiResourcesCmd `cmd:"" name:"api-resources" group:"Looking" help:"List the types of objects that there are."`
	Explain      explainCmd      `cmd:"" group:"Looking" help:"Tell what the fields of a type mean."`
	Completion   completionCmd   `cmd:"" group:"Looking" help:"Print a script that completes words for bash, zsh or fish."`
	Complete     completeCmd     `cmd:"" name:"__complete" hidden:"" help:"What the scripts of completion ask."`
	Man          manCmd          `cmd:"" group:"Looking" help:"Print a manual page of a verb."`
	Version      versionCmd      `cmd:"" group:"Looking" help:"Print the versions of the CLI and of the server."`

	Tail    tailCmd    `cmd:"" group:"Time" help:"Print the events of the log as they happened, or as they happen."`
	History historyCmd `cmd:"" group:"Time" help:"List every change of an object, also after its deletion."`
	Why     whyCmd     `cmd:"" group:"Time" help:"Explain why an object is as it is."`

	timeVerbs

	Image imageCmd `cmd:"" group:"Images" help:"Bring images onto the node, or list those that are there."`
}

// newParser makes a parser of a grammar: a *cli, or what grammar cut out of it.
func newParser(grammar any, term *terminal, more ...kong.Option) *kong.Kong {
	parser, err := kong.New(grammar, append(more, kong.Name("stave"),
		kong.Description("Stave runs Kubernetes manifests on containerd and keeps every change as an event in one log."),
		kong.Writers(term.out, term.err), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: term.width}))...)
	if err != nil {
		panic(fmt.Sprintf("build the command line: %v", err)) // a mistake in the structs above
	}
	return parser
}

// command is main without the process: it parses, runs the verb, prints its error
// as kubectl would, and returns the exit code.
func command(ctx context.Context, argv []string, plain *terminal) int {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	out, copied := &sink{to: plain.out, stop: stop}, *plain
	term := &copied
	term.out = out
	code := term.command(ctx, argv)
	if err := out.failed(); err != nil {
		fmt.Fprintln(term.err, "error: write output: "+err.Error())
		return exitFailed
	}
	return code
}

func (term *terminal) command(ctx context.Context, argv []string) int {
	exit := -1
	argv = asHelp(argv)
	words, flags := grammar(argv)
	parser := newParser(words, term, kong.Exit(func(code int) { exit = code }), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(term))
	line, err := normalise(parser.Model, argv)
	if err != nil {
		return usageError(term, nil, err)
	}
	parsed, err := parser.Parse(line)
	if exit >= 0 {
		return exit // --help has printed itself
	}
	if err != nil {
		return usageError(term, line, err)
	}
	s := newSession(ctx, *flags, term)
	defer s.close()
	return report(term, parsed.Run(s))
}

// asHelp is what people type who want help: nothing at all, or "help VERB".
func asHelp(argv []string) []string {
	switch {
	case len(argv) == 0:
		return []string{"--help"}
	case argv[0] == "help":
		return append(slices.DeleteFunc(slices.Clone(argv[1:]), func(a string) bool { return a == "help" }), "--help")
	}
	return argv
}

// usageError prints what is wrong with the command line and where help is.
func usageError(term *terminal, line []string, err error) int {
	said := err.Error()
	if first, hint, ok := strings.Cut(said, ", did you mean "); ok {
		said = first + "\nhelp: did you mean " + strings.TrimSuffix(hint, "?") + "?"
	}
	if flag, ok := strings.CutPrefix(strings.SplitN(said, "\n", 2)[0], "unknown flag "); ok && instead[flag] != "" {
		said = "unknown flag " + flag + "\nhelp: " + instead[flag]
	}
	if word, ok := strings.CutPrefix(said, "unexpected argument "); ok {
		if _, err := os.Stat(word); err == nil {
			said += "\nhelp: did you mean -f " + word + "?"
		}
	}
	fmt.Fprintln(term.err, "error: "+said)
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Command() != "" && len(line) > 0 {
		fmt.Fprintf(term.err, "See 'stave %s --help' for usage and examples.\n", line[0])
		return exitUsage
	}
	below := "stave"
	if unknown := (unknownCommand{}); errors.As(err, &unknown) && unknown.node.Parent != nil {
		below = strings.TrimSpace(unknown.node.FullPath())
	}
	fmt.Fprintf(term.err, "Run '%s --help' for all commands.\n", below)
	return exitUsage
}
