// Command hello is the demo's web app: it says which pod answers. Called with -get it is its own
// client, so that the demo needs no curl.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", ":8080", "where to serve")
	url := flag.String("get", "", "instead of serving, get this URL")
	times := flag.Int("n", 1, "with -get: how often")
	wait := flag.Duration("wait", 10*time.Second, "with -get: how long to go on trying until the first answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *url != "" {
		err = ask(ctx, *url, *times, *wait, os.Stdout)
	} else {
		err = serve(ctx, *addr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

// app answers / with a greeting and the pod's name, and /healthz.
func app(greeting, pod string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Printf("%s %s for %s\n", r.Method, r.URL.Path, r.RemoteAddr) // what `stave logs` shows
		fmt.Fprintf(w, "%s from %s\n", greeting, pod)
	})
	return mux
}

func serve(ctx context.Context, addr string) error {
	pod, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read hostname: %w", err)
	}
	server := &http.Server{Addr: addr, Handler: app(cmp.Or(os.Getenv("GREETING"), "hello"), pod), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		// Requests under way are answered before a pod goes.
		done, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(done)
	}()
	fmt.Println("serving on", addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// ask gets a URL several times, each over a connection of its own, as separate visitors would.
// Until the first answer it tries again for as long as wait says.
func ask(ctx context.Context, url string, times int, wait time.Duration, out io.Writer) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	deadline := time.Now().Add(wait)
	for answered := 0; answered < times; {
		err := once(ctx, client, url, out)
		switch {
		case err == nil:
			answered++
		case answered > 0 || ctx.Err() != nil || time.Now().After(deadline):
			return err
		default:
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

func once(ctx context.Context, client *http.Client, url string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, resp.Status)
	}
	_, err = io.Copy(out, resp.Body)
	return err
}
