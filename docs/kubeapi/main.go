// Command kubeapi measures a server of the Kubernetes API through client-go: what it takes to create a ConfigMap, how many a hundred clients
// create together, what listing ten thousand pods and a thousand watches cost the server. docs/benchmarks.sh asks Stave and, beside it, a
// kube-apiserver with its etcd, which are tools of this module: it is one of its own, so that nothing of them gets into Stave.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// server is whom the clients ask, and what of its processes can be seen.
type server struct {
	config *rest.Config
	pids   []int
	out    *os.File
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "whom to ask, and as whom")
	pids := flag.String("pids", "", "the server's processes, with commas between: their CPU time and memory are its cost")
	pods := flag.Int("pods", 10000, "how many pods are listed")
	watches := flag.Int("watches", 1000, "how many watches there are at once")
	dir := flag.String("prepare", "", "write there what a kube-apiserver on -address needs, and measure nothing")
	address := flag.String("address", "127.0.0.1:16443", "of that kube-apiserver, or of -echo")
	empty := flag.String("echo", "", "be a server on -address that only answers, with a kubeconfig for it in this directory")
	bound := flag.Bool("bound", false, "measure nothing but the hundred clients")
	flag.Parse()
	var err error
	switch {
	case *dir != "":
		err = prepare(*dir, *address)
	case *empty != "":
		err = echo(*empty, *address)
	default:
		err = run(*kubeconfig, *pids, *pods, *watches, *bound)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubeapi:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, pids string, pods, watches int, bound bool) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS, config.RateLimiter = -1, nil // client-go's own limit is not what is measured
	s := &server{config: config, out: os.Stdout}
	for p := range strings.SplitSeq(pids, ",") {
		pid, err := strconv.Atoi(p)
		if err != nil {
			return fmt.Errorf("read pids: %w", err)
		}
		s.pids = append(s.pids, pid)
	}
	ctx := context.Background()
	if err := s.ready(ctx); err != nil {
		return err
	}
	if bound {
		return s.together(ctx)
	}
	// Watches come first: what they cost shows in a process that has needed little memory so far.
	for _, measure := range []func(context.Context) error{func(ctx context.Context) error { return s.watch(ctx, watches) }, s.create, s.together,
		func(ctx context.Context) error { return s.list(ctx, pods) }} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until the server takes writes: one that has just been started may not yet.
func (s *server) ready(ctx context.Context) error {
	c, err := s.client("")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		_, err := c.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("wait for the server: %w", err)
		}
		time.Sleep(time.Second)
	}
}

// client is one with connections of its own.
func (s *server) client(form string) (kubernetes.Interface, error) {
	c := rest.CopyConfig(s.config)
	c.ContentType = form
	c.AcceptContentTypes = form
	c.Proxy = nil
	c.Dial = dialer().DialContext // a dialer of its own: client-go shares the connections of equal configurations
	return kubernetes.NewForConfig(c)
}

// say prints one figure on a line: what, how much, and of which unit.
func (s *server) say(what string, figure float64, unit string) {
	fmt.Fprintf(s.out, "%s %.4g %s\n", what, figure, unit)
}
