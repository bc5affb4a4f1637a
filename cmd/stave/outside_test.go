package main

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netns"
)

// outside asks a port of the node for its page from a network namespace that
// stands for another machine, joined to this one by a link of its own:
//
//	outside PORT [PATH]
func outside(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 1 {
		args = append(args, "")
	}
	if len(args) != 2 {
		ts.Fatalf("usage: outside PORT [PATH]")
	}
	ns, here := otherMachine(ts)
	var page string
	var err error
	for range 50 { // the dataplane sees the new link a moment later
		if page, err = pageFrom(ns, net.JoinHostPort(here, args[0]), args[1]); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), page)
}

// otherMachine is that namespace, made when a script first asks for it, and this
// machine's address on the link to it.
func otherMachine(ts *testscript.TestScript) (ns, address string) {
	ns = "out-" + ts.Getenv("CLUSTER")
	link := "o" + ts.Getenv("CLUSTER")
	here, there := apart(ts.Getenv("CLUSTER"))
	if _, err := os.Stat("/run/netns/" + ns); err == nil {
		return ns, here
	}
	ts.Defer(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	for _, c := range []string{
		"netns add " + ns,
		"link add " + link + " type veth peer name eth0 netns " + ns,
		"addr add " + here + "/30 dev " + link,
		"link set " + link + " up",
		"-n " + ns + " addr add " + there + "/30 dev eth0",
		"-n " + ns + " link set eth0 up",
		"-n " + ns + " link set lo up",
	} {
		out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput()
		if err != nil {
			ts.Fatalf("ip %s: %v: %s", c, err, out)
		}
	}
	return ns, here
}

// alone makes a network namespace for a machine of the script's own, and names it in
// $NAMESPACE:
//
//	alone
func alone(ts *testscript.TestScript, _ bool, _ []string) {
	ns := "in-" + ts.Getenv("CLUSTER")
	ts.Setenv("NAMESPACE", ns)
	ts.Defer(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	for _, c := range [][]string{{"netns", "add", ns}, {"-n", ns, "link", "set", "lo", "up"}} {
		if out, err := exec.Command("ip", c...).CombinedOutput(); err != nil {
			ts.Fatalf("ip %s: %v: %s", strings.Join(c, " "), err, out)
		}
	}
}

// apart are two addresses that no other cluster's story uses: of 100.64.0.0/10,
// which carriers share among their customers (RFC 6598) and no machine here has.
func apart(cluster string) (here, there string) {
	h := fnv.New32a()
	h.Write([]byte(cluster))
	n := h.Sum32() &^ 3
	a, b, c := 64+byte(n>>24)&63, byte(n>>16), byte(n>>8)
	return fmt.Sprintf("100.%d.%d.%d", a, b, c&^3+1), fmt.Sprintf("100.%d.%d.%d", a, b, c&^3+2)
}

// pageFrom fetches a page from inside a network namespace.
func pageFrom(ns, address, path string) (string, error) {
	type result struct {
		page string
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread belongs to the namespace and ends with the goroutine
		page, err := fetchInside(ns, address, path)
		done <- result{page, err}
	}()
	r := <-done
	return r.page, r.err
}

func fetchInside(ns, address, path string) (string, error) {
	h, err := netns.GetFromName(ns)
	if err != nil {
		return "", fmt.Errorf("open namespace: %w", err)
	}
	defer h.Close()
	if err := netns.Set(h); err != nil {
		return "", fmt.Errorf("enter namespace: %w", err)
	}
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	fmt.Fprintf(c, "GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n", path, address)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}
