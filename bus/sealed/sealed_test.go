package sealed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestEveryDamageIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "7")
	body := []byte("some\nlines\n")
	if err := Write(path, "checkpoint", 3, map[string]int{"seq": 7}, body); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path, "checkpoint")
	if err != nil || f.Version != 3 || string(f.Head) != `{"seq":7}` || !bytes.Equal(f.Body, body) {
		t.Fatalf("%+v, %v", f, err)
	}
	o, err := Look(path)
	if err != nil || string(o.Head) != `{"seq":7}` || o.Size-o.Body != int64(len(body)) {
		t.Errorf("%+v, %v", o, err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Read(path, "checkpoint")
		var d *DamageError
		if !errors.As(err, &d) {
			t.Errorf("%s: served as %+v", what, f)
		}
	}
	for i := range good {
		damaged("cut", good[:i])
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			damaged("flipped", b)
		}
	}
	damaged("more", append(bytes.Clone(good), 'x'))
	if err := Write(path, "segment", 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	damaged("another kind", func() []byte { b, _ := os.ReadFile(path); return b }())
}
