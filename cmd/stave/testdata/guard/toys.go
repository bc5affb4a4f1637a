package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
)

// Toys are an API of their own, for whoever comes by the cluster's door: as an extension API server does, it believes who
// is named by somebody that the authority in /front vouches for.

const toysPath = "/apis/toys.example.com/v1"

var toys = struct {
	sync.Mutex
	all []map[string]any
}{all: []map[string]any{}}

// front is how clients are looked at: by that authority, when there is one.
func front() *tls.Config {
	roots := x509.NewCertPool()
	raw, err := os.ReadFile("/front/requestheader-client-ca-file")
	if err != nil || !roots.AppendCertsFromPEM(raw) {
		return nil
	}
	return &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: roots, MinVersion: tls.VersionTLS12}
}

func serveToys() {
	http.HandleFunc("GET "+toysPath, known(func(http.ResponseWriter, *http.Request) any {
		return map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "toys.example.com/v1", "resources": []any{
			map[string]any{"name": "toys", "singularName": "toy", "namespaced": true, "kind": "Toy", "shortNames": []string{"ty"}, "verbs": []string{"create", "get", "list"}}}}
	}))
	http.HandleFunc("GET "+toysPath+"/namespaces/{namespace}/toys", known(func(http.ResponseWriter, *http.Request) any {
		return map[string]any{"kind": "ToyList", "apiVersion": "toys.example.com/v1", "metadata": map[string]any{}, "items": toys.all}
	}))
	http.HandleFunc("POST "+toysPath+"/namespaces/{namespace}/toys", known(func(w http.ResponseWriter, r *http.Request) any {
		toy := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&toy); err != nil {
			return map[string]any{"kind": "Status", "message": err.Error()}
		}
		toy["maker"] = r.Header.Get("X-Remote-User")
		toys.all = append(toys.all, toy)
		w.WriteHeader(http.StatusCreated)
		return toy
	}))
}

// known answers those whom the cluster's door names.
func known(answer func(http.ResponseWriter, *http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "front-proxy-client" {
			http.Error(w, "come by the cluster's API", http.StatusUnauthorized)
			return
		}
		fmt.Println(r.Method, r.URL.Path, "by", r.Header.Get("X-Remote-User"), r.Header.Values("X-Remote-Group"))
		toys.Lock()
		defer toys.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer(w, r)) // who left needs no answer
	}
}
