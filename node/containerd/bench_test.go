package containerd

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/stave-run/stave/node/runtime"
)

// BenchmarkPodStart measures, with the image present: a pod of one container from nothing to running (pod-ms), a second
// container in it (second-ms), and what ctr does on the same containerd, a container with a shim of its own, by
// `ctr run` (ctr-ms) and by `ctr run --seccomp` (seccomp-ms), which has the filter that every container of a pod has. The
// figures are medians; vs-ctr and vs-seccomp are pod-ms divided by them.
func BenchmarkPodStart(b *testing.B) {
	o := options(b, "bench")
	r, err := Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for range r.Exits() {
		}
	}()
	defer r.Purge(context.Background())
	if _, err := r.Pull(b.Context(), busybox, nil); err != nil {
		b.Fatal(err)
	}
	var pods, seconds, bare, filtered []float64
	for i := 0; b.Loop(); i++ {
		uid := fmt.Sprintf("pod%d", i)
		pods = append(pods, milliseconds(b, func() error {
			_, err := r.EnsureSandbox(b.Context(), runtime.SandboxSpec{UID: uid, Namespace: "default", Name: uid, Hostname: uid})
			if err != nil {
				return err
			}
			return benchStart(b.Context(), r, uid, "first")
		}))
		seconds = append(seconds, milliseconds(b, func() error { return benchStart(b.Context(), r, uid, "second") }))
		bare = append(bare, milliseconds(b, func() error { return ctrRun(r.in(b.Context()), r, uid+"-bare") }))
		filtered = append(filtered, milliseconds(b, func() error {
			return ctrRun(r.in(b.Context()), r, uid+"-filtered", seccomp.WithDefaultProfile())
		}))
		if err := r.RemoveSandbox(b.Context(), uid); err != nil {
			b.Fatal(err)
		}
		for _, id := range []string{uid + "-bare", uid + "-filtered"} {
			if err := ctrRemove(r.in(b.Context()), r, id); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(pods), "pod-ms")
	b.ReportMetric(median(seconds), "second-ms")
	b.ReportMetric(median(bare), "ctr-ms")
	b.ReportMetric(median(filtered), "seccomp-ms")
	b.ReportMetric(median(pods)/median(bare), "vs-ctr")
	b.ReportMetric(median(pods)/median(filtered), "vs-seccomp")
}

func benchStart(ctx context.Context, r *Runtime, uid, name string) error {
	id, err := r.Create(ctx, runtime.ContainerSpec{PodUID: uid, Namespace: "default", Pod: uid, Name: name, Image: busybox,
		Command: []string{"sleep", "1000"}, LogPath: r.runDir(name + uid + ".log")})
	if err != nil {
		return err
	}
	_, err = r.Start(ctx, id)
	return err
}

// ctrRun is what ctr's run does: snapshot and record, task, start.
func ctrRun(ctx context.Context, r *Runtime, id string, extra ...oci.SpecOpts) error {
	img, err := r.image(ctx, busybox)
	if err != nil {
		return err
	}
	opts := []oci.SpecOpts{oci.WithDefaultSpec(), oci.WithDefaultUnixDevices, oci.WithImageConfig(img), oci.WithProcessArgs("sleep", "1000"), withVersion}
	c, err := r.client.NewContainer(ctx, id, client.WithImage(img), client.WithSnapshotter(snapshotter), client.WithNewSnapshot(id, img),
		client.WithRuntime(r.shim, r.runc()), client.WithSpec(&oci.Spec{}, append(opts, extra...)...))
	if err != nil {
		return err
	}
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		return err
	}
	return task.Start(ctx)
}

func ctrRemove(ctx context.Context, r *Runtime, id string) error {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return err
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return err
	}
	waiting, err := task.Wait(ctx)
	if err != nil {
		return err
	}
	if err := task.Kill(ctx, syscall.SIGKILL); err != nil {
		return err
	}
	<-waiting
	if _, err := task.Delete(ctx); err != nil {
		return err
	}
	return c.Delete(ctx, client.WithSnapshotCleanup)
}

func milliseconds(b *testing.B, do func() error) float64 {
	begin := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return float64(time.Since(begin).Microseconds()) / 1000
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
