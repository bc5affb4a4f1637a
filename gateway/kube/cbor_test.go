package kube_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// What is sent as CBOR is taken, and who accepts it is answered so: objects, lists,
// refusals, and watches as a sequence.
func TestCBOR(t *testing.T) {
	h := open(t)
	codec := cbor.NewSerializer(scheme.Scheme, scheme.Scheme)
	transport, err := rest.TransportFor(h.config)
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path, accept string, body []byte) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, h.config.Host+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/cbor")
		r.Header.Set("Accept", accept)
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	decode := func(answer *http.Response, into runtime.Object) {
		t.Helper()
		body, err := io.ReadAll(answer.Body)
		if err == nil && answer.Header.Get("Content-Type") != "application/cbor" {
			err = errors.New("it is " + answer.Header.Get("Content-Type"))
		}
		if err == nil {
			_, _, err = codec.Decode(body, nil, into)
		}
		if err != nil {
			t.Fatalf("%d: %v: %q", answer.StatusCode, err, body)
		}
	}
	one := configMap("c", map[string]string{"a": "b"})
	one.BinaryData = map[string][]byte{"x": {0, 255}}
	one.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
	var body bytes.Buffer
	if err := codec.Encode(one, &body); err != nil {
		t.Fatal(err)
	}
	var made corev1.ConfigMap
	decode(send("POST", configMapsPath, "application/cbor", body.Bytes()), &made)
	if made.UID == "" || made.Data["a"] != "b" || !bytes.Equal(made.BinaryData["x"], one.BinaryData["x"]) {
		t.Errorf("made %+v", made)
	}
	var list corev1.ConfigMapList
	decode(send("GET", configMapsPath, "application/cbor", nil), &list)
	if len(list.Items) == 0 {
		t.Errorf("listed %+v", list)
	}
	var st metav1.Status
	decode(send("GET", configMapsPath+"/nobody", "application/cbor", nil), &st)
	if st.Reason != metav1.StatusReasonNotFound {
		t.Errorf("refused with %+v", st)
	}
	w := send("GET", configMapsPath+"?watch=1&fieldSelector=metadata.name%3Dc", "application/cbor", nil)
	if ct := w.Header.Get("Content-Type"); ct != "application/cbor-seq" {
		t.Errorf("the watch is %s", ct)
	}
	frame := make([]byte, 1<<20)
	n, err := cbor.NewFramer().NewFrameReader(w.Body).Read(frame)
	if err != nil {
		t.Fatal(err)
	}
	var told metav1.WatchEvent
	if _, _, err := codec.Decode(frame[:n], nil, &told); err != nil || told.Type != "ADDED" {
		t.Errorf("told %+v, %v", told, err)
	}
}
