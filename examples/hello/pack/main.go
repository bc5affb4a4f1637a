// Command pack puts one static binary into a container image and the image into a file that
// `stave image import` (and docker load) takes: an image without a registry and without a Dockerfile.
//
//	go run ./examples/hello/pack -binary bin/hello -tag hello:demo -out bin/hello.tar
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	binary := flag.String("binary", "bin/hello", "static binary, which becomes the entry point")
	tag := flag.String("tag", "hello:demo", "the image's name")
	out := flag.String("out", "bin/hello.tar", "file to write")
	flag.Parse()
	if err := pack(*binary, *tag, *out); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(binary, tag, out string) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("read image name: %w", err)
	}
	img, err := image(binary)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(out, ref, img); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}

// image has one layer with one file. Without times in it, equal binaries make equal images.
func image(binary string) (v1.Image, error) {
	path := "/" + filepath.Base(binary)
	files, err := layer(binary, path)
	if err != nil {
		return nil, err
	}
	one, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil })
	if err != nil {
		return nil, fmt.Errorf("make layer: %w", err)
	}
	img, err := mutate.AppendLayers(empty.Image, one)
	if err != nil {
		return nil, fmt.Errorf("append layer: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{path}, User: "65534:65534"}
	return mutate.ConfigFile(img, config)
}

func layer(binary, path string) ([]byte, error) {
	body, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read binary: %w", err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: path[1:], Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body))}); err != nil {
		return nil, fmt.Errorf("write entry: %w", err)
	}
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("write file: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("close layer: %w", err)
	}
	return buf.Bytes(), nil
}
