package events

import (
	"bytes"
	"encoding/base64"
	"testing"
)

func TestSealedValuesAreKnown(t *testing.T) {
	cipher := append(bytes.Repeat([]byte{7}, tagSize), 1, 2, 3)
	s, err := Seal("0123456789abcdef", cipher)
	if err != nil {
		t.Fatal(err)
	}
	key, c, ok := Unseal(s)
	if !ok || key != "0123456789abcdef" || !bytes.Equal(c, cipher) || len(s) != SealedExtra+3 || PlainSize(s) != 3 {
		t.Errorf("%q, %x, %t, %d bytes of %d", key, c, ok, len(s), PlainSize(s))
	}
	if words, ok := SealedText(base64.StdEncoding.EncodeToString(s)); !ok || words != "sealed:07070707 (3 bytes)" {
		t.Errorf("words %q, %t", words, ok)
	}
	for _, other := range [][]byte{nil, []byte("plain"), s[:SealedExtra-1], append([]byte("x"), s...)} {
		if _, _, ok := Unseal(other); ok {
			t.Errorf("%x is taken for sealed", other)
		}
		if PlainSize(other) != len(other) {
			t.Errorf("%x has %d bytes", other, PlainSize(other))
		}
	}
	for _, text := range []string{"", "plain", "AHN0YXZl", "AHN0YXZl*"} {
		if _, ok := SealedText(text); ok {
			t.Errorf("%q is taken for sealed", text)
		}
	}
	for _, bad := range []KeyID{"", "0123", "xx23456789abcdef"} {
		if _, err := Seal(bad, cipher); err == nil {
			t.Errorf("sealed with the key %q", bad)
		}
	}
	if _, err := Seal("0123456789abcdef", cipher[:tagSize-1]); err == nil {
		t.Error("sealed without a tag")
	}
}
