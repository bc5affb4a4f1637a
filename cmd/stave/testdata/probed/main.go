// Command probed answers HTTP, HTTPS and gRPC, says that it is well or not as it is told, and drains when it is asked to
// end: a program as people write them, for the stories about probes and rollouts.
//
//	probed                     serve
//	probed -set http=500       tell the one that serves in this pod what to answer
//	probed -set grpc=down
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	set := flag.String("set", "", "http=CODE or grpc=up|down, told to the server of this pod")
	flag.Parse()
	if *set != "" {
		if err := tell(*set); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx); err != nil {
		log.Fatal(err)
	}
}

func tell(what string) error {
	res, err := http.Get("http://127.0.0.1:8080/set?" + what)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func serve(ctx context.Context) error {
	// As slow to begin as programs are; only its readiness says when it is over.
	time.Sleep(delay())
	var code atomic.Int64
	code.Store(http.StatusOK)
	checks := health.NewServer()
	checks.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
	plain := &http.Server{Addr: ":8080", Handler: routes(&code, checks)}
	secret := &http.Server{Addr: ":8443", Handler: plain.Handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}}}
	rpc := grpc.NewServer()
	healthpb.RegisterHealthServer(rpc, checks)
	listener, err := net.Listen("tcp", ":5000")
	if err != nil {
		return err
	}
	go func() { log.Fatal(rpc.Serve(listener)) }()
	go func() { log.Fatal(secret.ListenAndServeTLS("", "")) }()
	drained := make(chan error)
	go func() {
		<-ctx.Done()
		drained <- plain.Shutdown(context.Background())
	}()
	fmt.Println("serving")
	if err := plain.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	fmt.Println("draining")
	return <-drained
}

func delay() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("DELAY")) // none: at once
	return d
}

func routes(code *atomic.Int64, checks *health.Server) http.Handler {
	host, _ := os.Hostname()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, host, os.Getenv("COLOUR")) })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(int(code.Load())) })
	mux.HandleFunc("GET /strict", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Probe") != "yes" || r.Host != "shop.example" {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	mux.HandleFunc("GET /set", func(w http.ResponseWriter, r *http.Request) {
		if n, err := strconv.Atoi(r.FormValue("http")); err == nil {
			code.Store(int64(n))
		}
		switch r.FormValue("grpc") {
		case "up":
			checks.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
		case "down":
			checks.SetServingStatus("shop", healthpb.HealthCheckResponse_NOT_SERVING)
		}
	})
	return mux
}

// certificate is one that nobody has reason to believe.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
