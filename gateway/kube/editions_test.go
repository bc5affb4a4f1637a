package kube

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stave-run/stave/events"
)

// However many watches tell of an edition, it is made once and encoded once in
// each form, and nobody can spoil it for the others.
func TestAnEditionIsEncodedOnceInEachForm(t *testing.T) {
	var all editions
	var made, encoded atomic.Int32
	encode := func(o runtime.Object, w io.Writer) error {
		encoded.Add(1)
		m, ok := o.(*corev1.ConfigMap)
		if !ok {
			return errors.New("not a ConfigMap")
		}
		_, err := io.WriteString(w, m.Name)
		m.Name = "spoiled"
		return err
	}
	k := editionKey{Key: events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "c"}, at: 7}
	var watches sync.WaitGroup
	for range 100 {
		watches.Go(func() {
			e, _ := all.get(k, func() (events.Object, error) {
				made.Add(1)
				return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}}, nil
			})
			for _, form := range []runtime.Identifier{"json", "protobuf"} {
				var b bytes.Buffer
				if err := e.CacheEncode(form, encode, &b); err != nil || b.String() != "c" {
					t.Errorf("%s: %q, %v", form, b.String(), err)
				}
			}
			if e.GetObject().(*corev1.ConfigMap).Name != "c" {
				t.Error("an encoder spoiled it")
			}
		})
	}
	watches.Wait()
	if made.Load() != 1 || encoded.Load() != 2 {
		t.Errorf("made %d times, encoded %d times", made.Load(), encoded.Load())
	}
}

func TestEditionsAreTheNewestOnes(t *testing.T) {
	var all editions
	for i := range 3 * keptEditions {
		_, _ = all.get(editionKey{at: events.Position(i)}, func() (events.Object, error) { return &corev1.ConfigMap{}, nil })
	}
	if len(all.known) != keptEditions || len(all.order) != keptEditions {
		t.Errorf("%d are kept, %d in order", len(all.known), len(all.order))
	}
	fresh := false
	_, _ = all.get(editionKey{at: 0}, func() (events.Object, error) { fresh = true; return nil, nil })
	_, _ = all.get(editionKey{at: 3*keptEditions - 1}, func() (events.Object, error) { t.Error("the newest was forgotten"); return nil, nil })
	if !fresh {
		t.Error("the oldest is still there")
	}
}

// An encoder's failure is everybody's.
func TestAnEditionThatCannotBeEncoded(t *testing.T) {
	e, why := &edition{object: &corev1.ConfigMap{}}, errors.New("no")
	e.shown.Do(func() {})
	for range 2 {
		var b bytes.Buffer
		if err := e.CacheEncode("json", func(_ runtime.Object, w io.Writer) error { _, _ = w.Write([]byte("{")); return why }, &b); !errors.Is(err, why) || b.Len() > 0 {
			t.Errorf("%v, %q was written", err, b.String())
		}
	}
}
