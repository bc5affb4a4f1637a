package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAppSaysWhoAnswers(t *testing.T) {
	server := httptest.NewServer(app("hello", "hello-1"))
	defer server.Close()
	var out strings.Builder
	if err := ask(t.Context(), server.URL, 2, 0, &out); err != nil {
		t.Fatal(err)
	}
	if want := "hello from hello-1\nhello from hello-1\n"; out.String() != want {
		t.Errorf("answers = %q, want %q", out.String(), want)
	}
	if err := ask(t.Context(), server.URL+"/healthz", 1, 0, &out); err != nil {
		t.Error(err)
	}
	if err := ask(t.Context(), server.URL+"/nothing", 1, 0, &out); err == nil {
		t.Error("a page that isn't there answered")
	}
}

func TestAskWaitsForTheFirstAnswerOnly(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := asked.Add(1); n == 1 || n > 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	var out strings.Builder
	if err := ask(t.Context(), server.URL, 1, 10*time.Second, &out); err != nil {
		t.Errorf("an answer at the second try: %v", err)
	}
	asked.Store(1)
	if err := ask(t.Context(), server.URL, 2, 10*time.Second, &out); err == nil {
		t.Error("a failure after the first answer went unnoticed")
	}
}
