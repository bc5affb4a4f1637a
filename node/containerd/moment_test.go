package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stave-run/stave/node/runtime"
)

// momentEnv makes the test binary an agent that is killed in the middle of a step; its value is a moment.
const momentEnv = "STAVE_RUNTIME_TEST_MOMENT"

// moment is when an agent is killed: before runc does the step, or when it has and the shim has not heard of it.
type moment struct {
	Options Options
	When    string
	Step    string
}

// dir is where a moment's files lie; containers see it as /host.
func (m moment) dir() string { return filepath.Join(m.Options.Root, "moment") }

// mark is found in the command line of every process that the moment's containers run.
func (m moment) mark() string { return "moment-" + m.Options.Cluster }

// runcScript is a runc that stands still at the moment until it is told to go on.
const runcScript = `#!/bin/sh
verb=
for a in "$@"; do case $a in create|start|exec|delete) verb=$a; break;; esac; done
stand() {
	[ "$1 $verb" = "$(cat DIR/stand 2>/dev/null)" ] || return 0
	: >DIR/stands
	while [ -d DIR ] && [ ! -e DIR/go ]; do sleep 0.02; done
}
stand before
runc "$@"
code=$?
stand after
exit $code
`

// prepare makes the moment's directory and its runc, which stands still only when the file stand says so.
func (m *moment) prepare(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(m.dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	m.Options.Runc = filepath.Join(m.dir(), "runc")
	if err := os.WriteFile(m.Options.Runc, []byte(strings.ReplaceAll(runcScript, "DIR", m.dir())), 0o755); err != nil {
		t.Fatal(err)
	}
}

// write makes a file of the moment.
func (m moment) write(name, text string) error {
	return os.WriteFile(filepath.Join(m.dir(), name), []byte(text), 0o644)
}

func (m moment) container() runtime.ContainerSpec {
	return runtime.ContainerSpec{
		PodUID: "p1", Namespace: "default", Pod: "web", Name: "main", Image: busybox,
		Command: []string{"sh", "-c", "echo ran >>/host/ran; trap 'exit 0' TERM; while :; do sleep 0.1; done", m.mark()},
		LogPath: filepath.Join(m.dir(), "log"),
		Mounts:  []runtime.Mount{{HostPath: m.dir(), ContainerPath: "/host"}},
	}
}

// momentHelper is the agent in the other process. It does everything up to the step, has runc stand still from there on,
// does the step and waits to be killed.
func momentHelper(raw string) int {
	var m moment
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		panic(err)
	}
	m.Options.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := m.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	select {}
}

func (m moment) run(ctx context.Context) error {
	r, err := Open(ctx, m.Options)
	if err != nil {
		return err
	}
	if _, err := r.Pull(ctx, busybox, nil, nil); err != nil {
		return err
	}
	if _, err := r.EnsureSandbox(ctx, runtime.SandboxSpec{UID: "p1", Namespace: "default", Name: "web", Hostname: "web"}); err != nil {
		return err
	}
	id, err := r.Create(ctx, m.container())
	if err != nil {
		return err
	}
	stand := func() error { return m.write("stand", m.When+" "+m.Step) }
	if m.Step == "create" || m.Step == "start" {
		if err := stand(); err != nil {
			return err
		}
	}
	if _, err = r.Start(ctx, id); err != nil {
		return err
	}
	if err := stand(); err != nil {
		return err
	}
	if m.Step == "delete" {
		return r.Remove(ctx, id)
	}
	_, err = r.Exec(ctx, id, runtime.ExecSpec{Command: []string{"sh", "-c", "while :; do echo more; sleep 0.1; done", m.mark() + "-exec"}}, runtime.Streams{Stdout: io.Discard})
	return err
}

// kill starts the agent, and kills it at the moment.
func (m moment) kill(t *testing.T) {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), momentEnv+"="+string(raw))
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(m.dir(), "stands")); err == nil {
			return
		}
		if time.Now().After(end) {
			cmd.Process.Signal(syscall.SIGKILL)
			cmd.Wait()
			t.Fatalf("runc does not come to %q: %s", m.When+" "+m.Step, words.String())
		}
	}
}

// processes are the command lines of what the moment's containers run.
func (m moment) processes() (found []string) {
	for _, path := range match("/proc/[0-9]*/cmdline") {
		raw, err := os.ReadFile(path)
		args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
		if err == nil && strings.HasPrefix(args[len(args)-1], m.mark()) && args[0] == "sh" {
			found = append(found, strings.Join(args, " "))
		}
	}
	return found
}

// TestKilledInAStep kills an agent while runc works for it. Whether runc goes on before the next agent comes or while it
// starts: no process is unknown, the container runs once, and what was being removed can be.
func TestKilledInAStep(t *testing.T) {
	for _, step := range []string{"create", "start", "exec", "delete"} {
		for _, when := range []string{"before", "after"} {
			for _, early := range []bool{true, false} {
				name := fmt.Sprintf("%s-%s-%v", when, step, early)
				t.Run(name, func(t *testing.T) {
					m := moment{Options: options(t, name[:1]+step[:2]+name[len(name)-4:]), When: when, Step: step}
					m.prepare(t)
					t.Cleanup(func() {
						if left := m.processes(); len(left) > 0 {
							t.Errorf("processes without a container: %q", left)
						}
					})
					m.kill(t)
					goOn := func() {
						if err := m.write("go", ""); err != nil {
							t.Error(err)
						}
					}
					if early {
						goOn()
						m.undone(t)
					} else {
						timer := time.AfterFunc(time.Second, goOn)
						defer timer.Stop()
					}
					m.check(reopen(t, m.Options))
				})
			}
		}
	}
}

// undone waits until a container that was being made is made and undone; other steps are not waited for.
func (m moment) undone(t *testing.T) {
	t.Helper()
	if m.Step != "create" {
		return
	}
	bundle := filepath.Join(m.Options.State, "io.containerd.runtime.v2.task", "stave-"+m.Options.Cluster, runtime.ContainerID("p1", "main", 0))
	eventually(t, "what was made for the last agent has ended", func() bool {
		_, err := os.Stat(filepath.Join(bundle, "exit.json"))
		return err == nil
	})
}

// check sees that the next agent finds what it can go on from.
func (m moment) check(n *node) {
	n.t.Helper()
	id := runtime.ContainerID("p1", "main", 0)
	if m.Step == "delete" {
		if err := n.Remove(n.t.Context(), id); err != nil {
			n.t.Error(err)
		}
		return
	}
	if n.find("main").Status == runtime.StatusCreated {
		if _, err := n.Start(n.t.Context(), id); err != nil {
			n.t.Fatal(err)
		}
	}
	if s := n.find("main"); s.Status != runtime.StatusRunning {
		n.t.Errorf("%+v", s)
	}
	eventually(n.t, "the container runs, and nothing else of it", func() bool { return len(m.processes()) == 1 })
	var out bytes.Buffer
	if _, err := n.Exec(n.t.Context(), id, runtime.ExecSpec{Command: []string{"cat", "/host/ran"}}, runtime.Streams{Stdout: &out}); err != nil || out.String() != "ran\n" {
		n.t.Errorf("it ran %q, %v", out.String(), err)
	}
	if err := n.Stop(n.t.Context(), id, patience, 0); err != nil {
		n.t.Error(err)
	}
	if exit := n.exit(id); exit.Code != 0 || exit.Lost {
		n.t.Errorf("%+v", exit)
	}
}
