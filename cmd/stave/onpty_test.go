package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/imagetest"
)

// ptyPatience is how long a command on a terminal may take.
const ptyPatience = 60 * time.Second

// onpty runs a command on a terminal of its own and checks that it leaves the
// terminal as it was, with a cursor:
//
//	onpty [-size 80x24] [-press REGEXP] [-exit CODE] COMMAND ARG…
//
// With -press, Ctrl-C is pressed as soon as the output matches; the command has
// to end soon then. What the terminal got is the output of onpty.
func onpty(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("say -exit CODE")
	}
	o := ptyOptions{size: "80x24", exit: "0"}
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-size":
			o.size = args[1]
		case "-press":
			o.press = args[1]
		case "-exit":
			o.exit = args[1]
		default:
			ts.Fatalf("unknown flag %s", args[0])
		}
		args = args[2:]
	}
	if len(args) == 0 {
		ts.Fatalf("usage: onpty [FLAGS] COMMAND ARG…")
	}
	out, err := o.run(ts, args)
	fmt.Fprint(ts.Stdout(), out)
	if err != nil {
		ts.Fatalf("%v\n%s", err, out)
	}
}

type ptyOptions struct{ size, press, exit string }

// openPTY gives the two ends of a new terminal.
func openPTY(size string) (master, slave *os.File, err error) {
	var w unix.Winsize
	if _, err := fmt.Sscanf(size, "%dx%d", &w.Col, &w.Row); err != nil {
		return nil, nil, fmt.Errorf("read size %q: %w", size, err)
	}
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &w)); err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
	}
	return master, slave, err
}

// endPatience is how long it may take to end after Ctrl-C; most of it is for a
// machine that has much else to do.
const endPatience = 15 * time.Second

// environment are the variables of a script that a command on a terminal gets.
var environment = []string{"PATH", "HOME", "KUBECONFIG", "NO_COLOR", "EDITOR", "TMPDIR"}

func (o ptyOptions) run(ts *testscript.TestScript, args []string) (string, error) {
	master, slave, err := openPTY(o.size)
	if err != nil {
		return "", err
	}
	defer master.Close()
	defer slave.Close()
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("read the terminal's mode: %w", err)
	}
	cmd := exec.Command("env", args...) // finds it on the script's PATH
	cmd.Env = []string{"TERM=xterm"}
	for _, name := range environment {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	screen := &recorded{}
	go func() { _, _ = io.Copy(screen, master) }() // ends when the terminal is closed
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = o.watch(screen, master, ended, cmd)
	after, termErr := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if termErr == nil && *after != *before {
		err = errors.Join(err, errors.New("the terminal's mode was changed and not restored"))
	}
	text, endErr := screen.upTo(slave)
	return text, errors.Join(err, termErr, endErr, cursorBack(text))
}

// watch presses the keys, waits for the end and judges it.
func (o ptyOptions) watch(screen *recorded, keys io.Writer, ended <-chan error, cmd *exec.Cmd) error {
	var press *regexp.Regexp
	if o.press != "" {
		press = regexp.MustCompile(o.press)
	}
	limit, tick := time.After(ptyPatience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if press == nil || !press.MatchString(screen.text()) {
				continue
			}
			if _, err := keys.Write([]byte{3}); err != nil {
				return fmt.Errorf("press Ctrl-C: %w", err)
			}
			press, limit = nil, time.After(endPatience)
		case <-limit:
			_ = cmd.Process.Kill()
			<-ended
			return errors.New("it does not end")
		case <-ended:
			if press != nil {
				return fmt.Errorf("it ended before it said %s", o.press)
			}
			if code := fmt.Sprint(cmd.ProcessState.ExitCode()); code != o.exit {
				return fmt.Errorf("exit code %s, want %s", code, o.exit)
			}
			return nil
		}
	}
}

// recorded is what a terminal got.
type recorded struct {
	mu  sync.Mutex
	got bytes.Buffer
}

// Write implements io.Writer.
func (r *recorded) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(b)
}

func (r *recorded) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.ReplaceAll(r.got.String(), "\r\n", "\n")
}

// endMark follows whatever a command wrote to its terminal.
const endMark = "\x1eend\x1e"

// upTo is all of the text, once what is written to the terminal now has come.
func (r *recorded) upTo(slave io.Writer) (string, error) {
	if _, err := io.WriteString(slave, endMark); err != nil {
		return "", fmt.Errorf("mark the end: %w", err)
	}
	for limit := time.Now().Add(ptyPatience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if text, _, ok := strings.Cut(r.text(), endMark); ok {
			return text, nil
		}
	}
	return r.text(), errors.New("the terminal does not come to its end")
}

// cursorBack says whether a cursor that was hidden has come back.
func cursorBack(text string) error {
	steps := regexp.MustCompile(`\x1b\[\?25[lh]`).FindAllString(text, -1)
	if len(steps) > 0 && steps[len(steps)-1] != showCursor {
		return errors.New("the cursor stays hidden")
	}
	return nil
}

// slowly replaces the script's registry by one whose layers come at so many
// bytes a second:
//
//	slowly BYTES
func slowly(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: slowly BYTES")
	}
	var rate int
	_, err := fmt.Sscan(args[0], &rate)
	ts.Check(err)
	ts.Setenv("HOSTS", slowRegistry(ts, rate))
}

func slowRegistry(ts *testscript.TestScript, rate int) (hosts string) {
	hosts = ts.MkAbs("slow-hosts")
	r, err := imagetest.Serve(context.Background(), "127.0.0.1:0", hosts, imagetest.DefaultCache())
	ts.Check(err)
	ts.Defer(func() { _ = r.Close() })
	r.Slow(rate)
	return hosts
}
