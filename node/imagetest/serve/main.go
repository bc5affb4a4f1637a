// Command serve runs the test images' registry, for trying manifests by hand without the internet:
//
//	go run ./node/imagetest/serve -hosts /tmp/certs.d &
//	bin/stave up --registry-hosts /tmp/certs.d
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/stave-run/stave/node/imagetest"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:5000", "where to listen")
	hosts := flag.String("hosts", "/etc/containerd/certs.d", "where to write docker.io/hosts.toml")
	cache := flag.String("cache", imagetest.DefaultCache(), "where packages and images are kept")
	rate := flag.Int("rate", 0, "bytes of a layer a second; 0: as fast as it goes")
	flag.Parse()
	if err := serve(*addr, *hosts, *cache, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func serve(addr, hosts, cache string, rate int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	registry, err := imagetest.Serve(ctx, addr, hosts, cache)
	if err != nil {
		return err
	}
	registry.Slow(rate)
	fmt.Printf("docker.io's images nginx and busybox at http://%s, hosts.toml in %s; Ctrl-C stops\n", registry.Addr, registry.HostsDir)
	<-ctx.Done()
	return registry.Close()
}
