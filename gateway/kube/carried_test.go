package kube

import (
	"errors"
	"net"
	"testing"
)

// TestARefusedConnectionSaysWhy: also to one who had not finished speaking.
func TestARefusedConnectionSaysWhy(t *testing.T) {
	near, far := net.Pipe()
	refused := errors.New("connect to port 81: connection refused")
	c := &carried{Conn: near, cancel: func() {}}
	c.why.Store(&refused)
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("GET /")); !errors.Is(err, refused) {
		t.Errorf("a write says %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, refused) {
		t.Errorf("a read says %v", err)
	}
}
