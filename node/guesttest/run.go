package guesttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The size of a guest.
const (
	processors = "2"
	memory     = "2048" // MiB
)

// emulator is QEMU's command.
const emulator = "qemu-system-x86_64"

// Missing says what this machine lacks for guests; empty when nothing.
func Missing() string {
	for name, from := range map[string]string{emulator: "qemu-system-x86", "mke2fs": "e2fsprogs", "dpkg-deb": "dpkg", "apt-get": "apt"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Sprintf("%s is not there: apt-get install %s", name, from)
		}
	}
	return ""
}

// Run makes the guest, runs its programs one after the other, and takes it away again. Each line of its console goes to
// say. The result is each program's exit code; it is an error when the guest ended before all were through.
func (g Guest) Run(ctx context.Context, say func(string)) (codes map[string]int, err error) {
	d, err := g.build(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.remove()) }()
	accel := []string{"-accel", "kvm", "-cpu", "host"}
	if !virtualises(ctx, d) {
		say("guest: KVM does not start a kernel here: the processors are emulated, which takes many times longer")
		accel = []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
	}
	cmd := exec.CommandContext(ctx, emulator, append(accel,
		"-smp", processors, "-m", memory, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", d.kernel, "-initrd", d.initrd, "-append", "console=ttyS0 quiet panic=-1 rdinit=/init",
		"-device", "virtio-rng-pci", "-drive", "file="+d.image+",if=virtio,format=raw,cache=unsafe")...)
	// It goes when this process does, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run guest: %w", err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run guest: %w", err)
	}
	codes = listen(out, say)
	if err := cmd.Wait(); err != nil {
		return codes, fmt.Errorf("run guest: %w", err)
	}
	if len(codes) < len(g.Programs) {
		return codes, fmt.Errorf("run guest: it ended after %d of %d programs", len(codes), len(g.Programs))
	}
	return codes, nil
}

// kvmPatience is how long a kernel may take to its first word.
const kvmPatience = 5 * time.Second

// virtualises says whether /dev/kvm is there and works: inside some virtual machines it opens, and a kernel hangs in it.
func virtualises(ctx context.Context, d disk) bool {
	ctx, cancel := context.WithTimeout(ctx, kvmPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, emulator, "-accel", "kvm", "-cpu", "host", "-m", memory, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-no-reboot", "-kernel", d.kernel, "-append", "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1") // no disk: it gives up
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, _ := cmd.CombinedOutput() // that it was cut off shows in what it did not say
	return strings.Contains(string(out), "Linux version")
}

// listen reads the console to its end.
func listen(out io.Reader, say func(string)) map[string]int {
	codes := map[string]int{}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			say(line)
		}
		if rest, ok := strings.CutPrefix(line, "guest: end "); ok {
			name, code, _ := strings.Cut(rest, " ")
			if n, err := strconv.Atoi(code); err == nil {
				codes[name] = n
			}
		}
		if err != nil {
			return codes
		}
	}
}
