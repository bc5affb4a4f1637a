package kube

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/endpoints/request"
)

// hurried serves one request whose body is read, and says how that ended.
func hurried(t *testing.T, bodyTime time.Duration, subresource string) (address string, ended <-chan error) {
	t.Helper()
	out := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hurry(w, r, &request.RequestInfo{Verb: "create", Subresource: subresource, IsResourceRequest: true}, bodyTime, time.Minute)
		_, err := io.ReadAll(r.Body)
		out <- err
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), out
}

// say opens a connection and sends the head of a request and a part of its body.
func say(t *testing.T, address, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"+text); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSlowBodiesAreCutOff(t *testing.T) {
	address, ended := hurried(t, 200*time.Millisecond, "")
	say(t, address, "12345")
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the body ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("half a body is waited for")
	}
}

func TestWholeBodiesHaveNoDeadlineBehindThem(t *testing.T) {
	address, ended := hurried(t, time.Minute, "")
	c := say(t, address, "1234567890")
	if err := <-ended; err != nil {
		t.Errorf("the body ended with %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("the answer: %v", err)
	}
}

func TestLongRequestsTakeTheirTime(t *testing.T) {
	address, ended := hurried(t, time.Millisecond, "exec")
	c := say(t, address, "12345")
	select {
	case err := <-ended:
		t.Fatalf("the body ended with %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if _, err := io.WriteString(c, "67890"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the body ended with %v", err)
	}
}
