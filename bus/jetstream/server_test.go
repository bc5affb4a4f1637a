package jetstream

import (
	"testing"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/bustest"
)

// admin and two nodes are who the test servers take.
func testCredentials(t *testing.T) []Credential {
	t.Helper()
	dir := t.TempDir()
	var out []Credential
	for _, user := range []string{"admin", "bob"} {
		c, err := LoadOrCreate(dir, user)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	for _, node := range []string{"n1", "n2"} {
		c, err := LoadOrCreateNode(dir, node)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func openTest(t testing.TB, dir string, credentials []Credential) *Server {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Name: "test", Reserve: 1 << 20, Credentials: credentials, Warn: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestLog(t *testing.T) {
	bustest.Log(t, func(t *testing.T) bustest.LogUnderTest {
		s := openTest(t, t.TempDir(), nil)
		return bustest.LogUnderTest{Log: s.Log(), Cut: s.Log().purge}
	})
}

func TestNotes(t *testing.T) {
	bustest.Notes(t, func(t *testing.T) bus.Notes { return openTest(t, t.TempDir(), nil).Notes() })
}
