package main

import (
	"errors"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blob is a part of an image as registries keep it.
type blob struct {
	kind   string // "manifests", "blobs"
	digest v1.Hash
	body   []byte
}

// imageFiles are the parts of an image.
func imageFiles(img v1.Image) ([]blob, error) {
	manifest, err1 := img.RawManifest()
	digest, err2 := img.Digest()
	config, err3 := img.RawConfigFile()
	name, err4 := img.ConfigName()
	layers, err5 := img.Layers()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	out := []blob{{"manifests", digest, manifest}, {"blobs", name, config}}
	for _, l := range layers {
		one, err := layerFile(l)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func layerFile(l v1.Layer) (blob, error) {
	digest, err := l.Digest()
	if err != nil {
		return blob{}, err
	}
	r, err := l.Compressed()
	if err != nil {
		return blob{}, err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	return blob{"blobs", digest, body}, err
}
