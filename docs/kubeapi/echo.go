package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"k8s.io/client-go/util/cert"
)

// echo is a server that does nothing: it answers a create with the object that it was sent, over the same TLS and HTTP/2 as the others.
// No server of the Kubernetes API that is written on these can answer more of the clients that share its cores.
func echo(dir, address string) error {
	if err := prepare(dir, address); err != nil {
		return err
	}
	pem, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	files := [2]string{filepath.Join(dir, "echo.crt"), filepath.Join(dir, "echo.key")}
	if err := cert.WriteCert(files[0], pem); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	if err := cert.WriteCert(files[1], key); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return http.ListenAndServeTLS(address, files[0], files[1], http.HandlerFunc(answer))
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.WriteHeader(http.StatusCreated)
	_, _ = io.Copy(w, r.Body)
}
