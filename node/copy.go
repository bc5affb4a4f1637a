package node

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/rootfs"
)

func (a *Agent) serveCopy(ctx context.Context, r bus.Request, s bus.Stream) {
	finish(ctx, s, statusOf(a.copy(ctx, r, s)))
}

// copy carries files out of a container or into it; nothing of the image is needed for it.
func (a *Agent) copy(ctx context.Context, r bus.Request, s bus.Stream) error {
	req, err := hello[wire.CopyRequest](r)
	if err != nil {
		return err
	}
	if req.Path == "" {
		return badRequest("copy: no path was given")
	}
	t, err := a.find(req.Namespace, req.Pod, req.UID, req.Container)
	if err != nil {
		return err
	}
	c, err := t.running()
	if c.Phase == plan.Exited {
		return badRequest("files can be copied while a container runs: container %q of pod %q ended with code %d", t.name, req.Pod, c.Exit.Code)
	}
	if err != nil {
		return err
	}
	root, err := a.o.Runtime.Root(ctx, c.ID)
	if err != nil {
		return err
	}
	defer root.Dir.Close()
	who := rootfs.Owner{UID: root.UID, GID: root.GID, Groups: root.Groups}
	err = rootfs.As(root.Dir, who, func(files rootfs.Root) error {
		if req.Write {
			return unpack(ctx, files, req, s, root.UID == 0)
		}
		return pack(ctx, files, req, s)
	})
	return copyFailure(err, t)
}

func pack(ctx context.Context, files rootfs.Root, req wire.CopyRequest, s bus.Stream) error {
	out := &frames{frameWriter: frameWriter{ctx, s, wire.Stdout}}
	if err := files.Pack(req.Path, out); err != nil {
		return err
	}
	return out.flush()
}

func unpack(ctx context.Context, files rootfs.Root, req wire.CopyRequest, s bus.Stream, chown bool) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(readArchive(ctx, s, w)) }()
	defer r.Close()
	err := files.Unpack(req.Path, r, rootfs.Options{Into: req.Into, Plain: req.NoPreserve, Chown: chown})
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the end of an archive is followed by its client's
	}
	return err
}

// frames gathers small writes.
type frames struct {
	frameWriter
	buf []byte
}

// Write takes all of p.
func (f *frames) Write(p []byte) (int, error) {
	f.buf = append(f.buf, p...)
	if len(f.buf) < flushBytes {
		return len(p), nil
	}
	return len(p), f.flush()
}

func (f *frames) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	_, err := f.frameWriter.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

// copyFailure says what the file system refused in words for people; who asked did so of a container, not of this machine.
func copyFailure(err error, t target) error {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return err
	}
	code, reason := http.StatusBadRequest, metav1.StatusReasonBadRequest
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code, reason = http.StatusNotFound, metav1.StatusReasonNotFound
	case errors.Is(err, fs.ErrPermission):
		code, reason = http.StatusForbidden, metav1.StatusReasonForbidden
	}
	return refuse(code, reason, "%s: %v in container %q of pod %q", path.Path, innermost(path.Err), t.name, t.row.Pod.Name)
}

// innermost is the reason without the paths of further steps.
func innermost(err error) error {
	var path *fs.PathError
	for errors.As(err, &path) {
		err = path.Err
	}
	return err
}
