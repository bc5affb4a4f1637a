package jetstream

import (
	"encoding/binary"
	"io"
	"testing"
)

// Whoever is at the other end of a stream may say what they like, also after its end.
func TestAfterTheEndNothingComes(t *testing.T) {
	s := newStream(nil)
	s.ended = true // we have closed
	for i, kind := range []byte{kindData, kindEnd, kindEnd, kindData} {
		s.take(append(binary.BigEndian.AppendUint32([]byte{kind, 0}, uint32(i+1)), 'x'))
	}
	if f, err := s.Recv(t.Context()); err != nil || string(f.Data) != "x" {
		t.Errorf("%v, %v", f, err)
	}
	if f, err := s.Recv(t.Context()); err != io.EOF {
		t.Errorf("after the end %v, %v", f, err)
	}
}
