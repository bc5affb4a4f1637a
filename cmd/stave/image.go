package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// imageCmd is `stave image`.
type imageCmd struct {
	Import imageImportCmd `cmd:"" help:"Bring the images of an archive (docker save, OCI layout) onto a node."`
}

// imageImportCmd is `stave image import`.
type imageImportCmd struct {
	Node   string `help:"Node to bring them to; all nodes when empty." placeholder:"NAME"`
	Output format `short:"o" help:"Print what was imported as a list: yaml, json or jsonpath=…" placeholder:"FORMAT"`
	File   string `arg:"" help:"Tar archive, or - for standard input."`
}

// Help implements kong's detailed help.
func (imageImportCmd) Help() string {
	return `Examples:
  stave image import web.tar
  stave image import web.tar -o json
  docker save web:dev | stave image import -`
}

// Run sends the archive to each node.
func (c *imageImportCmd) Run(ctx context.Context, s *session) error {
	nodes, err := c.nodes(ctx, s)
	if err != nil {
		return err
	}
	if c.File == "-" && len(nodes) > 1 {
		return errors.New("standard input can go to one node only\nhelp: name it with --node, or give a file")
	}
	all := []imported{}
	for _, n := range nodes {
		images, err := c.send(ctx, s, n)
		if err != nil {
			return err
		}
		for _, i := range images {
			all = append(all, imported{n, i})
			if c.Output == formatTable && !s.Quiet {
				fmt.Fprintf(s.out, "%s %s imported on %s\n", i.Name, i.Digest, n)
			}
		}
	}
	if c.Output == formatTable {
		return nil
	}
	return s.printDocument(c.Output, events.MustBody(all))
}

// imported is an image that a node has now.
type imported struct {
	Node string `json:"node"`
	wire.Imported
}

func (c *imageImportCmd) nodes(ctx context.Context, s *session) ([]string, error) {
	if c.Node != "" {
		return []string{c.Node}, s.connect(ctx)
	}
	reply, err := s.read(ctx, wire.ReadRequest{Resource: events.Nodes})
	if err != nil {
		return nil, err
	}
	objects, err := decodeAll(reply.Objects)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.(*corev1.Node).Name)
	}
	if len(names) == 0 {
		return nil, errors.New("the cluster has no nodes")
	}
	return names, nil
}

func (c *imageImportCmd) send(ctx context.Context, s *session, node string) ([]wire.Imported, error) {
	in := io.Reader(interruptible{s.in, s.done})
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("open archive: %w", err)
		}
		defer f.Close()
		in = f
	}
	stream, err := s.dial(ctx, wire.NodeSubject(s.user, node, wire.NodeImport), struct{}{})
	if err != nil {
		return nil, fmt.Errorf("reach node %s: %w", node, err)
	}
	defer stream.Close()
	if err := sendAll(ctx, stream, in); err != nil {
		return nil, fmt.Errorf("send archive to node %s: %w", node, err)
	}
	return answered(ctx, stream, node)
}

// importChunk is how much of an archive goes into one frame.
const importChunk = 64 << 10

func sendAll(ctx context.Context, stream bus.Stream, in io.Reader) error {
	for {
		buf := make([]byte, importChunk)
		n, err := in.Read(buf)
		if n > 0 {
			if err := stream.Send(ctx, bus.Frame{Channel: wire.Stdin, Data: buf[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return stream.Send(ctx, bus.Frame{Channel: wire.StdinClosed})
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
	}
}

// answered reads what the node made of an archive, up to its verdict.
func answered(ctx context.Context, stream bus.Stream, node string) ([]wire.Imported, error) {
	var all []wire.Imported
	for {
		f, err := stream.Recv(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for node %s: %w", node, err)
		}
		if f.Channel == wire.Failed {
			return all, failedFrame(f.Data)
		}
		var images []wire.Imported
		if err := json.Unmarshal(f.Data, &images); err != nil {
			return nil, fmt.Errorf("decode what node %s imported: %w", node, err)
		}
		all = append(all, images...)
	}
}
