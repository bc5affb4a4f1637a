package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	hostsconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stave-run/stave/node/runtime"
)

// progressInterval is how often a pull is looked at for its progress.
const progressInterval = 200 * time.Millisecond

// Normalize gives an image's full name, as docker and Kubernetes read short ones: nginx is docker.io/library/nginx:latest.
func Normalize(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", &runtime.PullError{Ref: ref, Reason: runtime.PullInvalidName, Err: err}
	}
	return named.String(), nil
}

// Pull fetches an image and unpacks it; what is here already is not fetched again, but the registry is asked what the
// name means now. Of the logins those that fit are tried, the closest first. progress may be nil; it is called from another goroutine, never at the same time, and not after Pull
// returned. The error is a *PullError.
func (r *Runtime) Pull(ctx context.Context, ref string, logins []runtime.Login, progress func(runtime.PullProgress)) (runtime.Image, error) {
	name, err := Normalize(ref)
	if err != nil {
		return runtime.Image{}, err
	}
	// Ten pods of one image are one download and nine questions to the registry.
	defer r.images.lock(name)()
	ctx = r.in(ctx)
	layers := &layerSet{all: map[digest.Digest]ocispec.Descriptor{}}
	stop := r.report(ctx, name, layers, progress)
	var img client.Image
	for i, tries := 0, fitting(name, logins); ; i++ {
		img, err = r.client.Pull(ctx, name, client.WithPullUnpack, client.WithPullSnapshotter(snapshotter),
			client.WithResolver(r.resolver(ctx, tries[i])), client.WithImageHandler(images.HandlerFunc(layers.see)))
		if err == nil || i+1 == len(tries) || !unwelcome(err) {
			break
		}
	}
	stop()
	if err != nil {
		return runtime.Image{}, &runtime.PullError{Ref: name, Reason: pullReason(err), Err: err}
	}
	return r.describe(ctx, img)
}

// Lookup finds an image that is on this node and usable, under its short or its full name.
func (r *Runtime) Lookup(ctx context.Context, ref string) (runtime.Image, bool, error) {
	img, err := r.image(r.in(ctx), ref)
	if errdefs.IsNotFound(err) {
		return runtime.Image{}, false, nil
	}
	if err != nil {
		return runtime.Image{}, false, err
	}
	unpacked, err := img.IsUnpacked(r.in(ctx), snapshotter)
	if err != nil || !unpacked {
		return runtime.Image{}, false, err
	}
	found, err := r.describe(r.in(ctx), img)
	return found, err == nil, err
}

// Import loads an OCI or docker archive and unpacks its images.
func (r *Runtime) Import(ctx context.Context, archive io.Reader) ([]runtime.Image, error) {
	ctx = r.in(ctx)
	loaded, err := r.client.Import(ctx, archive)
	if err != nil {
		return nil, fmt.Errorf("import images: %w", err)
	}
	var out []runtime.Image
	for _, l := range loaded {
		img := client.NewImage(r.client, l)
		if err := img.Unpack(ctx, snapshotter); err != nil {
			return out, fmt.Errorf("unpack image %s: %w", l.Name, err)
		}
		found, err := r.describe(ctx, img)
		if err == nil {
			err = r.pinImage(ctx, l)
		}
		if err != nil {
			return out, err
		}
		out = append(out, found)
	}
	return out, nil
}

func (r *Runtime) image(ctx context.Context, ref string) (client.Image, error) {
	name, err := Normalize(ref)
	if err != nil {
		return nil, err
	}
	return r.client.GetImage(ctx, name)
}

func (r *Runtime) describe(ctx context.Context, img client.Image) (runtime.Image, error) {
	size, err := img.Size(ctx)
	if err != nil {
		return runtime.Image{}, fmt.Errorf("measure image %s: %w", img.Name(), err)
	}
	return runtime.Image{Ref: img.Name(), Digest: img.Target().Digest.String(), Size: size}, nil
}

func (r *Runtime) resolver(ctx context.Context, login runtime.Login) remotes.Resolver {
	o := hostsconfig.HostOptions{}
	if login != (runtime.Login{}) {
		o.Credentials = func(string) (string, string, error) {
			if login.Token != "" {
				return "", login.Token, nil // containerd's way to say so
			}
			return login.Username, login.Password, nil
		}
	}
	if r.options.RegistryHosts != "" {
		o.HostDir = hostsconfig.HostDirFromRoot(r.options.RegistryHosts)
	}
	if r.options.Dial != nil {
		o.UpdateClient = r.dialOut
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: hostsconfig.ConfigureHosts(ctx, o)})
}

// dialOut makes a registry's client connect as the options say.
func (r *Runtime) dialOut(c *http.Client) error {
	t, ok := c.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("client of a registry has a transport of type %T", c.Transport)
	}
	t = t.Clone()
	t.DialContext = r.options.Dial
	c.Transport = t
	return nil
}

// layerSet collects what a pull will have to fetch, as its manifests become known.
type layerSet struct {
	mu  sync.Mutex
	all map[digest.Digest]ocispec.Descriptor
}

// see notes a descriptor that the pull comes to.
func (l *layerSet) see(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if images.IsLayerType(d.MediaType) || images.IsConfigType(d.MediaType) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all[d.Digest] = d
	}
	return nil, nil
}

func (l *layerSet) seen() []ocispec.Descriptor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.all))
}

// report calls progress until the returned function is called.
func (r *Runtime) report(ctx context.Context, ref string, layers *layerSet, progress func(runtime.PullProgress)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if p, err := r.measure(ctx, layers.seen()); err == nil {
				p.Ref = ref
				progress(p)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// measure says how much of the layers is here: whole, or as a download under
// way, which the content store knows by the name that the fetcher gave it.
func (r *Runtime) measure(ctx context.Context, layers []ocispec.Descriptor) (runtime.PullProgress, error) {
	store := r.client.ContentStore()
	active, err := store.ListStatuses(ctx, "")
	if err != nil {
		return runtime.PullProgress{}, err
	}
	underWay := map[string]int64{}
	for _, s := range active {
		underWay[s.Ref] = s.Offset
	}
	var p runtime.PullProgress
	for _, d := range layers {
		p.Total += d.Size
		if n, ok := underWay[remotes.MakeRefKey(ctx, d)]; ok {
			p.Done += n
		} else if _, err := store.Info(ctx, d.Digest); err == nil {
			p.Done += d.Size
		}
	}
	return p, nil
}

// pullReason sorts an error of the registry client.
func pullReason(err error) runtime.PullReason {
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return runtime.PullUnauthorized
		case http.StatusNotFound:
			return runtime.PullNotFound
		}
	}
	var (
		dns   *net.DNSError
		op    *net.OpError
		asked *url.Error
	)
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return runtime.PullUnauthorized
	case errdefs.IsNotFound(err):
		return runtime.PullNotFound
	case errors.As(err, &dns), errors.As(err, &op), errors.Is(err, syscall.ECONNREFUSED):
		return runtime.PullUnreachable
	case errors.As(err, &asked) && !errors.Is(err, context.Canceled):
		return runtime.PullUnreachable
	}
	return runtime.PullFailed
}
