package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
)

// editCmd is `stave edit`.
type editCmd struct {
	files
	Part    subresource `name:"subresource" help:"Of the object: status, or resize, which is what the containers of a pod may use while they run." enum:",status,resize" default:"" placeholder:"NAME"`
	Message string      `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	What    []string    `arg:"" optional:"" help:"TYPE/NAME… or TYPE NAME…"`
}

// Help implements kong's detailed help.
func (editCmd) Help() string {
	return `Examples:
  stave edit deployment/web
  stave edit deployment web --subresource=status
  EDITOR=nano stave edit svc web`
}

// Run opens each object in the person's editor and makes the changes that are saved.
func (c *editCmd) Run(ctx context.Context, s *session) error {
	items, err := s.items(ctx, c.files, c.What)
	if err != nil {
		return err
	}
	if err := c.Part.ofAll(items); err != nil {
		return err
	}
	var errs []error
	for _, it := range items {
		errs = append(errs, c.one(ctx, s, it.Key))
	}
	return errors.Join(errs...)
}

// editHead is what stands above an object in the editor, as kubectl writes it.
const editHead = `# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
`

// one goes on as long as what is saved is refused and changed again.
func (c *editCmd) one(ctx context.Context, s *session, k events.Key) error {
	live, err := s.readTree(ctx, k)
	if err != nil {
		return err
	}
	if c.Part != partStatus {
		delete(live, "status") // nobody writes it
	}
	clean, err := yaml.Marshal(live)
	if err != nil {
		return fmt.Errorf("print %s: %w", k, err)
	}
	text, said := clean, ""
	var problem error
	for {
		saved, err := openEditor(ctx, s, []byte(editHead+said), text)
		if err != nil {
			return err
		}
		switch {
		case len(bytes.TrimSpace(saved)) == 0, bytes.Equal(saved, clean):
			fmt.Fprintln(s.err, "Edit cancelled, no changes made.")
			return nil
		case said != "" && bytes.Equal(saved, text), ctx.Err() != nil:
			return c.keep(saved, problem)
		}
		if problem, err = c.save(ctx, s, k, clean, saved); problem == nil || err != nil {
			return err
		}
		text, said = saved, commented(printedName(k), problem)
	}
}

// save makes the person's changes on what is there by now: what others changed
// meanwhile stays. problem is what the person can mend.
func (c *editCmd) save(ctx context.Context, s *session, k events.Key, clean, saved []byte) (problem, err error) {
	docs, bad := decodeTexts([]text{{"edited", saved}})
	if len(bad) > 0 {
		return errors.Join(bad...), nil
	}
	if len(docs) != 1 {
		return fmt.Errorf("one object is edited, not %d", len(docs)), nil
	}
	kind, o := docs[0].Kind, docs[0].Object
	if got := (events.Key{Resource: kind.Resource, Namespace: o.GetNamespace(), Name: o.GetName()}); got != k {
		return errors.New("kind, name and namespace of an object cannot be changed"), nil
	}
	before, err := yaml.YAMLToJSON(clean)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k, err)
	}
	after := docs[0].JSON()
	if c.Part == partStatus {
		after = docs[0].Whole()
	}
	patch, err := twoWay(kind, before, after)
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", k, err)
	}
	err = c.patch(ctx, s, k, patch)
	var st *statusError
	if errors.As(err, &st) {
		return err, nil
	}
	return nil, err
}

// twoWay is the patch that makes after of before. Nobody knows how the lists of
// objects of a definition merge: they are replaced.
func twoWay(kind events.Kind, before, after []byte) ([]byte, error) {
	if kind.Custom() {
		return jsonpatch.CreateMergePatch(before, after)
	}
	return strategicpatch.CreateTwoWayMergePatch(before, after, kind.New())
}

func (c *editCmd) patch(ctx context.Context, s *session, k events.Key, patch []byte) error {
	w := rewriting{changeFlags: changeFlags{Message: c.Message}, done: "edited", same: "skipped: it is so already", part: c.Part}
	return w.one(ctx, s, k, func(k events.Key, object tree) error {
		live, err := json.Marshal(object)
		if err != nil {
			return fmt.Errorf("encode %s: %w", k, err)
		}
		raw, err := (&patchCmd{}).apply(k, live, patch)
		if err != nil {
			return fmt.Errorf("change %s: %w", printedName(k), err)
		}
		return become(object, raw)
	})
}

// keep leaves on disk what was refused and not changed again.
func (c *editCmd) keep(saved []byte, problem error) error {
	f, err := os.CreateTemp("", "stave-edit-*.yaml")
	if err != nil {
		return fmt.Errorf("keep the edited object: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(saved); err != nil {
		return fmt.Errorf("keep the edited object: %w", err)
	}
	said := fmt.Errorf("edit cancelled, no changes were made\nhelp: a copy of your changes is in %s", f.Name())
	return errors.Join(problem, said)
}

func commented(name string, problem error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s was not valid:\n", name)
	for line := range strings.Lines(problem.Error()) {
		b.WriteString("# * " + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String() + "#\n"
}

// openEditor shows a text below a head of comments and gives what was saved, without comments.
func openEditor(ctx context.Context, s *session, head, text []byte) ([]byte, error) {
	f, err := os.CreateTemp("", "stave-edit-*.yaml")
	if err != nil {
		return nil, fmt.Errorf("make a file to edit: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(head, text...))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("write the file to edit: %w", err)
	}
	// A shell, because an editor may come with arguments: EDITOR="code --wait".
	// Ctrl-C is the editor's: killed, it would leave the terminal as it was using it.
	cmd := exec.Command("sh", "-c", editor()+` "$1"`, "sh", f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.in, s.plainOut(), s.err
	if err := cmd.Run(); err != nil && (ctx.Err() != nil || interrupted(err)) {
		return nil, context.Canceled
	} else if err != nil {
		return nil, fmt.Errorf("run the editor %q: %w\nhelp: KUBE_EDITOR or EDITOR names another one", editor(), err)
	}
	saved, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, fmt.Errorf("read the edited file: %w", err)
	}
	var out []byte
	for line := range bytes.Lines(saved) {
		if !bytes.HasPrefix(line, []byte("#")) {
			out = append(out, line...)
		}
	}
	return out, nil
}

func editor() string {
	for _, name := range []string{"KUBE_EDITOR", "VISUAL", "EDITOR"} {
		if e := os.Getenv(name); e != "" {
			return e
		}
	}
	return "vi"
}

// interrupted says that a command ended by the key that was meant for us too: it
// may have heard of it first.
func interrupted(err error) bool {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return false
	}
	status, ok := ended.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGINT
}
