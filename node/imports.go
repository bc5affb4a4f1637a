package node

import (
	"context"
	"errors"
	"io"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// importImages takes an archive off a stream and keeps its images.
func (a *Agent) importImages(ctx context.Context, _ bus.Request, s bus.Stream) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(readArchive(ctx, s, w)) }()
	images, err := a.o.Runtime.Import(ctx, r)
	_ = r.Close() // the reader above stops when nobody reads
	if err == nil {
		out := make([]wire.Imported, 0, len(images))
		for _, i := range images {
			out = append(out, wire.Imported{Name: i.Ref, Digest: i.Digest})
		}
		err = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: events.MustBody(out)})
	}
	finish(ctx, s, statusOf(err))
}

// errCutOff says that an archive's sender went away before its end.
var errCutOff = errors.New("the archive was cut off")

func readArchive(ctx context.Context, s bus.Stream, w io.Writer) error {
	for {
		f, err := s.Recv(ctx)
		if err != nil {
			return errors.Join(errCutOff, err)
		}
		if f.Channel == wire.StdinClosed {
			return io.EOF
		}
		if _, err := w.Write(f.Data); err != nil {
			return err
		}
	}
}
