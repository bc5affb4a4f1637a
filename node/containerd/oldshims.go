package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stave-run/stave/node/shim"
)

// dropOldShims removes the programs of shims that an older version unpacked and nobody needs any more.
func (r *Runtime) dropOldShims(ctx context.Context) error {
	unpacked, err := shim.Unpacked(r.shimDir())
	if err != nil || len(unpacked) == 0 || len(unpacked) == 1 && unpacked[0] == r.shim {
		return err
	}
	needed, err := r.neededShims(r.in(ctx))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range unpacked {
		if !needed[path] {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// neededShims are ours, those that run, and those that containerd starts for what an older version made: to begin
// a container in its pod, and to clean up after a shim that died.
func (r *Runtime) neededShims(ctx context.Context) (map[string]bool, error) {
	needed := map[string]bool{r.shim: true}
	boxes, err := r.client.SandboxStore().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	for _, b := range boxes {
		needed[b.Runtime.Name] = true
	}
	containers, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers {
		needed[c.Runtime.Name] = true
	}
	// What has ended meanwhile, or was cleaned up, cannot be read any more and needs nothing.
	for _, link := range match("/proc/[0-9]*/exe") {
		if path, err := os.Readlink(link); err == nil {
			needed[path] = true
		}
	}
	for _, note := range match(filepath.Join(r.options.State, "io.containerd.*", r.namespace(), "*", "shim-binary-path")) {
		if path, err := os.ReadFile(note); err == nil {
			needed[string(path)] = true
		}
	}
	return needed, nil
}

// match is for patterns that are well formed.
func match(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		panic(fmt.Sprintf("match %s: %v", pattern, err))
	}
	return found
}
