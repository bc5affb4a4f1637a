package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// cpCmd is `stave cp`.
type cpCmd struct {
	Container  string   `short:"c" help:"Container; the first one when not given." placeholder:"NAME"`
	NoPreserve bool     `help:"Do not keep modes and owners."`
	What       []string `arg:"" optional:"" help:"SOURCE and DESTINATION; the one that is in a pod is [NAMESPACE/]POD:PATH."`
}

// Help implements kong's detailed help.
func (cpCmd) Help() string {
	return `The node's agent reads and writes the files: the image needs no tar, no shell, nothing.

Examples:
  stave cp ./site web-1:/usr/share/nginx/html
  stave cp web-1:/etc/nginx/nginx.conf ./nginx.conf
  stave cp shop/db-0:/var/lib/data ./data -c db`
}

// place is one side of a copy.
type place struct {
	namespace, pod string // empty for a file of this machine
	path           string
}

// parsePlace reads [[NAMESPACE/]POD:]PATH; a path that has a colon is written with a / or a . in front.
func parsePlace(arg string) (place, error) {
	pod, file, remote := strings.Cut(arg, ":")
	if !remote || strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, ".") {
		if arg == "" {
			return place{}, errors.New("filepath can not be empty")
		}
		return place{path: arg}, nil
	}
	if file == "" {
		return place{}, errors.New("filepath can not be empty")
	}
	switch parts := strings.Split(pod, "/"); {
	case len(parts) == 1 && parts[0] != "":
		return place{pod: parts[0], path: file}, nil
	case len(parts) == 2 && parts[0] != "" && parts[1] != "":
		return place{namespace: parts[0], pod: parts[1], path: file}, nil
	}
	return place{}, fmt.Errorf("%q: want [NAMESPACE/]POD:PATH", arg)
}

// Run copies.
func (c *cpCmd) Run(ctx context.Context, s *session) error {
	if len(c.What) != 2 {
		return errors.New("source and destination are required\nhelp: stave cp POD:/path ./here, or stave cp ./here POD:/path")
	}
	from, err := parsePlace(c.What[0])
	if err != nil {
		return err
	}
	to, err := parsePlace(c.What[1])
	switch {
	case err != nil:
		return err
	case from.pod != "" && to.pod != "":
		return errors.New("one of src or dest must be a local file specification")
	case from.pod == "" && to.pod == "":
		return errors.New("one of src or dest must be a remote file specification\nhelp: the side that is in a pod is written POD:PATH")
	case from.pod != "":
		return c.fetch(ctx, s, from, to.path)
	}
	if _, err := os.Stat(from.path); err != nil {
		return fmt.Errorf("%s doesn't exist in local filesystem", from.path)
	}
	return c.send(ctx, s, from.path, to)
}

// dial opens the stream of a copy to the agent of the pod's node.
func (c *cpCmd) dial(ctx context.Context, s *session, at place, r wire.CopyRequest) (bus.Stream, error) {
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if at.namespace != "" {
		s.Namespace = at.namespace
	}
	pod, err := s.podOf(ctx, at.pod)
	if err != nil {
		return nil, err
	}
	container, err := s.chooseContainer(pod, c.Container)
	if err != nil {
		return nil, err
	}
	r.Namespace, r.Pod, r.UID, r.Container, r.Path = pod.Namespace, pod.Name, events.UID(pod.UID), container, at.path
	return s.dialNode(ctx, pod, wire.NodeCopy, r)
}

// fetch copies from a pod to this machine.
func (c *cpCmd) fetch(ctx context.Context, s *session, from place, to string) error {
	stream, err := c.dial(ctx, s, from, wire.CopyRequest{})
	if err != nil {
		return err
	}
	defer stream.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := receiveArchive(ctx, stream, w)
		w.CloseWithError(err) // nil is the end of the archive
		ended <- err
	}()
	in := fetching{from: from, to: to, base: path.Base(path.Clean("/" + from.path)), plain: c.NoPreserve, warn: s.err, show: newTransfer(s, from.path)}
	err = in.unpack(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	r.CloseWithError(errEnough)
	cancel()
	in.show.end()
	// What the agent says comes first: an archive that ends early is its consequence.
	if said := <-ended; said != nil && !errors.Is(said, errEnough) && !errors.Is(said, context.Canceled) {
		return said
	}
	return err
}

// receiveArchive takes an archive off a stream; the agent's refusal is its error.
func receiveArchive(ctx context.Context, stream bus.Stream, w io.Writer) error {
	for {
		f, err := stream.Recv(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("the connection to the node ended: %w", err)
		case f.Channel == wire.Failed:
			return failedFrame(f.Data)
		}
		if _, err := w.Write(f.Data); err != nil {
			return err
		}
	}
}

// send copies from this machine to a pod.
func (c *cpCmd) send(ctx context.Context, s *session, from string, to place) error {
	base := filepath.Base(from)
	if whole, err := filepath.Abs(from); err == nil {
		base = filepath.Base(whole) // of "." too
	}
	stream, err := c.dial(ctx, s, to, wire.CopyRequest{Write: true, Into: base, NoPreserve: c.NoPreserve})
	if err != nil {
		return err
	}
	defer stream.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		err := receiveArchive(ctx, stream, io.Discard)
		answer <- err
		if err != nil {
			cancel() // refused in the middle: nobody takes the rest
		}
	}()
	show := newTransfer(s, from)
	r, w := io.Pipe()
	go func() { w.CloseWithError(packLocal(from, w, show)) }()
	err = sendAll(ctx, stream, r)
	r.CloseWithError(errEnough)
	defer show.end()
	if err != nil {
		cancel()
		if said := <-answer; said != nil && !errors.Is(said, context.Canceled) {
			return said
		}
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return <-answer
}
