package bus

import (
	"context"
	"io"
	"slices"
)

// carried is how many bytes of a connection one frame brings at most.
const carried = 32 << 10

// Carry brings what a connection says to the other side of a stream and back,
// until either of them ends; then both are closed.
func Carry(ctx context.Context, s Stream, conn io.ReadWriteCloser) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it ends the read below
	go func() {
		defer cancel()
		for {
			f, err := s.Recv(ctx)
			if err != nil {
				return
			}
			if _, err := conn.Write(f.Data); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, carried)
	for {
		n, err := conn.Read(buf)
		if n > 0 && s.Send(ctx, Frame{Data: slices.Clone(buf[:n])}) != nil {
			break
		}
		if err != nil {
			break
		}
	}
	_ = conn.Close() // it is over: nobody is left to tell
	_ = s.Close()
}
