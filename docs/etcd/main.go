// Command etcd puts small values into an etcd of its own, durably, and prints what that costs: the peer beside which Stave's writes are
// measured (docs/benchmarks.sh). A module of its own, so that nothing of etcd gets into Stave.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	dir := flag.String("dir", "", "where etcd keeps its data: an empty directory on the disk that is measured")
	writers := flag.Int("writers", 1, "how many put at once")
	puts := flag.Int("puts", 2000, "how many puts in all")
	size := flag.Int("bytes", 400, "of each value")
	flag.Parse()
	if err := run(*dir, *writers, *puts, *size); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

func run(dir string, writers, puts, size int) error {
	server, err := start(dir)
	if err != nil {
		return err
	}
	defer server.Close()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Clients[0].Addr().String()}, DialTimeout: 10 * time.Second})
	if err != nil {
		return fmt.Errorf("dial etcd: %w", err)
	}
	defer client.Close()
	if _, _, err := load(client, writers, min(puts, 10*writers), size); err != nil { // warm
		return err
	}
	each, took, err := load(client, writers, puts, size)
	if err != nil {
		return err
	}
	slices.Sort(each)
	fmt.Printf("%.3f ms-p50 %.0f puts/s\n", each[len(each)/2].Seconds()*1000, float64(puts)/took.Seconds())
	return nil
}

// start serves on loopback, with etcd's own defaults: every acknowledged put is synced.
func start(dir string) (*embed.Etcd, error) {
	c := embed.NewConfig()
	c.Dir, c.LogLevel = dir, "fatal" // closing is an error to it
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{local}, []url.URL{local}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{local}, []url.URL{local}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	server, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case <-time.After(time.Minute):
		server.Close()
		return nil, fmt.Errorf("start etcd: it is not ready after a minute")
	}
}

// load puts new keys, and returns how long each put and all of them took.
func load(client *clientv3.Client, writers, puts, size int) ([]time.Duration, time.Duration, error) {
	value := string(make([]byte, size))
	each := make([]time.Duration, puts)
	var next atomic.Int64
	var failed error
	var once sync.Once
	var all sync.WaitGroup
	began := time.Now()
	for range writers {
		all.Go(func() {
			for n := next.Add(1) - 1; n < int64(puts); n = next.Add(1) - 1 {
				at := time.Now()
				if _, err := client.Put(context.Background(), fmt.Sprintf("/registry/configmaps/default/c-%d-%d", began.UnixNano(), n), value); err != nil {
					once.Do(func() { failed = fmt.Errorf("put: %w", err) })
					return
				}
				each[n] = time.Since(at)
			}
		})
	}
	all.Wait()
	return each, time.Since(began), failed
}
