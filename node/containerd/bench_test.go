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
	"golang.org/x/sync/errgroup"

	"github.com/stave-run/stave/node/runtime"
)

// BenchmarkPodStart measures, with the image present: a pod of one container from nothing to running (pod-ms), a second
// container in it (second-ms), and what ctr does on the same containerd, a container with a shim of its own, by
// `ctr run` (ctr-ms) and by `ctr run --seccomp` (seccomp-ms), which has the filter that every container of a pod has. The
// figures are medians; vs-ctr and vs-seccomp are pod-ms divided by them.
func BenchmarkPodStart(b *testing.B) {
	r := benchRuntime(b)
	var pods, seconds, bare, filtered []float64
	for i := 0; b.Loop(); i++ {
		uid := fmt.Sprintf("pod%d", i)
		pods = append(pods, milliseconds(b, func() error { return benchPod(b.Context(), r, uid) }))
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

// atOnce is how many pods BenchmarkPodsAtOnce starts.
const atOnce = 50

// BenchmarkPodsAtOnce starts fifty pods of one container at the same moment, and after them fifty containers as a client of
// containerd would, with and without the filter that every container of a pod has.
func BenchmarkPodsAtOnce(b *testing.B) {
	r := benchRuntime(b)
	var pods, bare, filtered []float64
	for i := 0; b.Loop(); i++ {
		name := func(kind string, n int) string { return fmt.Sprintf("%s-%d-%d", kind, i, n) }
		ctx := r.in(b.Context())
		pods = append(pods, together(b, func(n int) error {
			return benchPod(b.Context(), r, name("pod", n))
		}))
		removeAll(b, func(n int) error { return r.RemoveSandbox(b.Context(), name("pod", n)) })
		bare = append(bare, together(b, func(n int) error { return ctrRun(ctx, r, name("bare", n)) }))
		removeAll(b, func(n int) error { return ctrRemove(ctx, r, name("bare", n)) })
		filtered = append(filtered, together(b, func(n int) error {
			return ctrRun(ctx, r, name("filtered", n), seccomp.WithDefaultProfile())
		}))
		removeAll(b, func(n int) error { return ctrRemove(ctx, r, name("filtered", n)) })
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(atOnce*1000/median(pods), "pods/s")
	b.ReportMetric(atOnce*1000/median(bare), "ctr/s")
	b.ReportMetric(atOnce*1000/median(filtered), "seccomp/s")
	b.ReportMetric(median(pods)/median(bare), "vs-ctr")
	b.ReportMetric(median(pods)/median(filtered), "vs-seccomp")
}

// together is how long something takes that is done atOnce times at the same time.
func together(b *testing.B, do func(n int) error) float64 {
	return milliseconds(b, func() error {
		var all errgroup.Group
		for n := range atOnce {
			all.Go(func() error { return do(n) })
		}
		return all.Wait()
	})
}

func removeAll(b *testing.B, do func(n int) error) {
	for n := range atOnce {
		if err := do(n); err != nil {
			b.Fatal(err)
		}
	}
}

// benchRuntime has the image, and nobody waits for exits.
func benchRuntime(b *testing.B) *Runtime {
	r, err := Open(b.Context(), options(b, "bench"))
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for range r.Exits() {
		}
	}()
	b.Cleanup(func() {
		if err := r.Purge(context.Background()); err != nil {
			b.Error(err)
		}
	})
	if _, err := r.Pull(b.Context(), busybox, nil, nil); err != nil {
		b.Fatal(err)
	}
	return r
}

func benchPod(ctx context.Context, r *Runtime, uid string) error {
	_, err := r.EnsureSandbox(ctx, runtime.SandboxSpec{UID: uid, Namespace: "default", Name: uid, Hostname: uid})
	if err != nil {
		return err
	}
	return benchStart(ctx, r, uid, "first")
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
