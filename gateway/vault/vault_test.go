package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func opened(t *testing.T) *Vault {
	t.Helper()
	v, err := Open(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const plain = "hunter2"

func manifestOf(name, rest string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q,"namespace":"shop"},%s}`, name, rest))
}

var db = events.Key{Resource: events.Secrets, Namespace: "shop", Name: "db"}

func sealed(t *testing.T, v *Vault, s projections.State, object json.RawMessage, dryRun bool) json.RawMessage {
	t.Helper()
	item, err := v.Seal(s, admit.KeyOf(s, wire.Item{Object: object}), wire.Item{Object: object}, dryRun)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(item.Object), plain) || strings.Contains(string(item.Object), "aHVudGVyMg") {
		t.Fatalf("it is readable: %s", item.Object)
	}
	return item.Object
}

func secretIn(t *testing.T, object json.RawMessage) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if err := json.Unmarshal(object, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func keyFiles(t *testing.T, v *Vault) int {
	t.Helper()
	ids, err := v.ids()
	if err != nil {
		t.Fatal(err)
	}
	return len(ids)
}

func TestWhatIsSealedIsOpenedAgain(t *testing.T) {
	v := opened(t)
	object := sealed(t, v, projections.Empty(), manifestOf("db", `"data":{"a":"aHVudGVyMg==","none":null},"stringData":{"b":"hunter2","a2":""}`), false)
	s := secretIn(t, object)
	if len(s.StringData) > 0 || len(s.Data) != 4 {
		t.Fatalf("%s", object)
	}
	again, err := Open(v.dir) // another process
	if err != nil {
		t.Fatal(err)
	}
	values, err := again.Values(s)
	if err != nil || string(values["a"]) != plain || string(values["b"]) != plain || len(values["none"])+len(values["a2"]) != 0 {
		t.Errorf("%q, %v", values, err)
	}
	shown := again.Show(s).(*corev1.Secret)
	if string(shown.Data["a"]) != plain || bytes.Equal(s.Data["a"], shown.Data["a"]) {
		t.Error("showing a Secret opens a copy of it")
	}
	s.Data["a"], s.Data["b"] = s.Data["b"], s.Data["a"]
	if _, err := again.Values(s); err == nil {
		t.Error("a value is opened in the place of another")
	}
	fi, err := os.Stat(v.dir)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("others may look for keys: %v, %v", fi.Mode(), err)
	}
}

// The same value of the same Secret seals to the same bytes, so that an apply which
// changes nothing is seen to; another value, place or Secret does not.
func TestEqualValuesStayEqual(t *testing.T) {
	v := opened(t)
	l := foldtest.New()
	first := sealed(t, v, l.State, manifestOf("db", `"stringData":{"a":"hunter2","b":"hunter2"}`), false)
	l.Create(db, string(first))
	again := sealed(t, v, l.State, manifestOf("db", `"data":{"a":"aHVudGVyMg==","b":"aHVudGVyMw=="}`), false)
	one, two := secretIn(t, first), secretIn(t, again)
	if !bytes.Equal(one.Data["a"], two.Data["a"]) || bytes.Equal(one.Data["a"][events.SealedExtra-16:], one.Data["b"][events.SealedExtra-16:]) || bytes.Equal(one.Data["b"], two.Data["b"]) {
		t.Errorf("%s\n%s", first, again)
	}
	if keyFiles(t, v) != 1 {
		t.Errorf("%d keys of one Secret", keyFiles(t, v))
	}
	other := secretIn(t, sealed(t, v, l.State, manifestOf("other", `"stringData":{"a":"hunter2"}`), false))
	if bytes.Equal(one.Data["a"], other.Data["a"]) || keyFiles(t, v) != 2 {
		t.Error("two Secrets share a key")
	}
}

func TestDryRunsLeaveNoKey(t *testing.T) {
	v := opened(t)
	s := secretIn(t, sealed(t, v, projections.Empty(), manifestOf("db", `"stringData":{"a":"hunter2"}`), true))
	if keyFiles(t, v) != 0 {
		t.Error("a dry run wrote a key")
	}
	if values, err := v.Values(s); err != nil || string(values["a"]) != plain {
		t.Errorf("and its answer cannot be shown: %q, %v", values, err)
	}
}

// What kubectl leaves in an annotation is sealed too, and comes back as it was.
func TestAppliedManifestsAreSealed(t *testing.T) {
	v := opened(t)
	applied := `{"apiVersion":"v1","data":{"a":"aHVudGVyMg=="},"kind":"Secret","metadata":{"name":"db"},"stringData":{"b":"hunter2"}}`
	text, _ := json.Marshal(applied + "\n")
	object := sealed(t, v, projections.Empty(), json.RawMessage(fmt.Sprintf(
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"shop","annotations":{"kubectl.kubernetes.io/last-applied-configuration":%s}},"data":{"a":"aHVudGVyMg=="},"stringData":{"b":"hunter2"}}`, text)), false)
	shown := v.Show(secretIn(t, object)).(*corev1.Secret)
	if got := shown.Annotations[corev1.LastAppliedConfigAnnotation]; got != applied+"\n" {
		t.Errorf("%s\nwant %s", got, applied)
	}
	odd := sealed(t, v, projections.Empty(), json.RawMessage(
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"a\":\"*hunter2*\"}}"}}}`), false)
	if strings.Contains(string(odd), "last-applied") {
		t.Errorf("kept what it could not seal: %s", odd)
	}
}

// Somebody who saw a sealed value cannot have it opened by sending it back.
func TestSealedValuesOfOthersStaySealed(t *testing.T) {
	v := opened(t)
	stolen := secretIn(t, sealed(t, v, projections.Empty(), manifestOf("db", `"stringData":{"a":"hunter2"}`), false)).Data["a"]
	text, _ := json.Marshal(map[string][]byte{"a": stolen})
	mine := secretIn(t, sealed(t, v, projections.Empty(), manifestOf("mine", `"data":`+string(text)), false))
	if values, err := v.Values(mine); err != nil || !bytes.Equal(values["a"], stolen) {
		t.Errorf("%q, %v", values, err)
	}
}

func TestOtherObjectsPass(t *testing.T) {
	v := opened(t)
	for _, object := range []string{`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"data":{"a":"hunter2"}}`,
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"*"}}`, `{"apiVersion":"v1","kind":"Secret","data":3}`, `nonsense`, ``} {
		item := wire.Item{Object: json.RawMessage(object)}
		item, err := v.Seal(projections.Empty(), admit.KeyOf(projections.Empty(), item), item, false)
		if err != nil || string(item.Object) != object {
			t.Errorf("%s: %s, %v", object, item.Object, err)
		}
	}
	var none *Vault
	if item, err := none.Seal(projections.Empty(), db, wire.Item{Object: manifestOf("db", `"data":{}`)}, false); err != nil || !bytes.Equal(item.Object, manifestOf("db", `"data":{}`)) {
		t.Errorf("without a key store: %s, %v", item.Object, err)
	}
	item, err := v.Seal(projections.Empty(), db, wire.Item{Object: manifestOf("db", `"type":"kubernetes.io/dockerconfigjson","stringData":{".dockerconfigjson":"hunter2"}`)}, true)
	if err != nil || len(item.Found) != 1 {
		t.Errorf("what is wrong with a value: %v, %v", item.Found, err)
	}
}

func TestValuesWhoseKeyIsGone(t *testing.T) {
	v := opened(t)
	l := foldtest.New()
	object := sealed(t, v, l.State, manifestOf("db", `"stringData":{"a":"hunter2","b":"x"}`), false)
	l.Create(db, string(object))
	l.Remove(db)
	if err := v.Shred(l.State, db); err != nil {
		t.Fatal(err)
	}
	s := secretIn(t, object)
	if got := v.Missing(db, object); strings.Join(got, " ") != "a b" {
		t.Errorf("missing %v", got)
	}
	if shown := v.Show(s).(*corev1.Secret); len(shown.Data) != 0 || shown.Annotations[GoneAnnotation] != "a,b" {
		t.Errorf("shown %+v", shown)
	}
	if _, err := v.Values(s); err == nil || !strings.Contains(err.Error(), "open a: its key is not in the key store") {
		t.Error(err)
	}
	if keyFiles(t, v) != 0 {
		t.Error("the key is still there")
	}
}

// A key outlives its Secret by the undo window, and no longer; one that is needed
// again is kept.
func TestSweep(t *testing.T) {
	v := opened(t)
	l := foldtest.New()
	now, window := l.Now, time.Hour
	shredded := map[events.Key]bool{}
	sweep := func(after time.Duration) int {
		t.Helper()
		if err := v.Sweep(l.State, now.Add(after), func(at time.Time) bool { return now.Add(after).Sub(at) > window }, func(k events.Key) bool { return shredded[k] }); err != nil {
			t.Fatal(err)
		}
		return keyFiles(t, v)
	}
	object := string(sealed(t, v, l.State, manifestOf("db", `"stringData":{"a":"hunter2"}`), false))
	l.Create(db, object)
	if sweep(0) != 1 || sweep(2*window) != 1 {
		t.Fatal("the key of a Secret that is there is gone")
	}
	l.Remove(db)
	if sweep(3*window) != 1 || sweep(4*window) != 1 {
		t.Fatal("the key is gone within the window")
	}
	l.Create(db, object) // undone
	if sweep(10*window) != 1 {
		t.Fatal("the key of a Secret that came back is gone")
	}
	l.Remove(db)
	if sweep(11*window) != 1 || sweep(12*window+time.Second) != 0 {
		t.Fatal("the window begins anew, and then ends")
	}
	object = string(sealed(t, v, l.State, manifestOf("db", `"stringData":{"a":"hunter2"}`), false))
	l.Create(db, object)
	shredded[db] = true // an earlier life of it
	if sweep(13*window) != 1 {
		t.Fatal("the key of a Secret that is there is shredded")
	}
	l.Remove(db)
	if sweep(13*window) != 0 {
		t.Fatal("a server that ended in mid-shredding keeps the key")
	}
}

func TestDamagedKeysDoNotHoldUpTheOthers(t *testing.T) {
	v := opened(t)
	sealed(t, v, projections.Empty(), manifestOf("db", `"stringData":{"a":"hunter2"}`), false)
	for name, content := range map[string]string{"0000000000000000.key": "", "1111111111111111.key": `{"id":"2222222222222222"}`, "README": "no key"} {
		if err := os.WriteFile(filepath.Join(v.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := v.Sweep(projections.Empty(), time.Now(), func(time.Time) bool { return false }, func(events.Key) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "read key 0000000000000000") || !strings.Contains(err.Error(), "read key 1111111111111111") {
		t.Error(err)
	}
	if keyFiles(t, v) != 2 {
		t.Errorf("%d keys left", keyFiles(t, v))
	}
}
