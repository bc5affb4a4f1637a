package events

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// A sealed value stands in the log where a Secret's plain value would: a mark,
// the id of the key that opens it, and what AES-SIV made of the value (RFC 5297,
// 16 bytes of tag before as many bytes as the value has). The key lies in a store
// outside the log. Sealing is deterministic: the same value under the same key
// seals to the same bytes, so whether a value changed shows without a key, and
// its tag is the HMAC that history keeps when the key is gone.

// Sealing puts sealedMark, a KeyID and the tag before a value.
const (
	sealedMark = "\x00stave\x01"
	keyIDSize  = 8
	tagSize    = 16
	sealedHead = len(sealedMark) + keyIDSize
	// SealedExtra is by how many bytes a sealed value is longer than the plain one.
	SealedExtra = sealedHead + tagSize
)

// KeyID names a key of the key store: random, in lower-case hex.
type KeyID string

// Seal puts a value's ciphertext behind the id of its key.
func Seal(key KeyID, ciphertext []byte) ([]byte, error) {
	id, err := hex.DecodeString(string(key))
	if err != nil || len(id) != keyIDSize || len(ciphertext) < tagSize {
		return nil, fmt.Errorf("seal with key %q: want an id of %d bytes and a tag", key, keyIDSize)
	}
	return append(append([]byte(sealedMark), id...), ciphertext...), nil
}

// Unseal takes a sealed value apart; false when it is none.
func Unseal(sealed []byte) (key KeyID, ciphertext []byte, ok bool) {
	if len(sealed) < SealedExtra || !bytes.HasPrefix(sealed, []byte(sealedMark)) {
		return "", nil, false
	}
	return KeyID(hex.EncodeToString(sealed[len(sealedMark):sealedHead])), sealed[sealedHead:], true
}

// PlainSize is how many bytes a value of a Secret has, sealed or not.
func PlainSize(value []byte) int {
	if _, c, ok := Unseal(value); ok {
		return len(c) - tagSize
	}
	return len(value)
}

// SealedWords are a sealed value as people see it who do not see the value: its
// size, and a hash that changes with it; false when it is none.
func SealedWords(value []byte) (string, bool) {
	_, c, ok := Unseal(value)
	if !ok {
		return "", false
	}
	const shown = 4 // bytes of the tag: enough to tell values apart
	return fmt.Sprintf("sealed:%x (%d bytes)", c[:shown], len(c)-tagSize), true
}

// SealedText is SealedWords of a value in base64, as it stands in a manifest.
func SealedText(text string) (string, bool) {
	const begins = "AHN0YXZl" // the mark's first six bytes
	if !strings.HasPrefix(text, begins) {
		return "", false
	}
	value, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	return SealedWords(value)
}
