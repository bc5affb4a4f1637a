package events

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// NewOpID names one operation: the same request or the same decision gives the
// same id again, so that a retry after a lost acknowledgement can be told from
// a second wish. basis is the request's id for people, the sequence decided on
// for reconcilers.
func NewOpID(cluster string, writer Actor, basis string, key Key, ordinal int) OpID {
	h := sha256.New()
	for _, part := range []string{cluster, string(writer), basis, key.String(), strconv.Itoa(ordinal)} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return OpID(hex.EncodeToString(h.Sum(nil)[:16]))
}

// NewUID derives an object's uid from the operation that makes it: a UUIDv8
// (RFC 9562) of the same hash.
func NewUID(op OpID) UID {
	s := sha256.Sum256([]byte(op))
	s[6] = s[6]&0x0f | 0x80
	s[8] = s[8]&0x3f | 0x80
	x := hex.EncodeToString(s[:16])
	return UID(x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:])
}

// HashOf is the content hash of a body.
func HashOf(body []byte) Hash {
	s := sha256.Sum256(body)
	return Hash(hex.EncodeToString(s[:]))
}

// nameAlphabet is Kubernetes' alphabet for generated names: no vowels, so no words.
const nameAlphabet = "bcdfghjklmnpqrstvwxz2456789"

const suffixLen = 5

// suffixes is 27⁵; suffixStep is coprime to it, so that the map below is a bijection.
const (
	suffixes   = 27 * 27 * 27 * 27 * 27
	suffixStep = 5_700_557
)

// ChildSuffix is the five-character end of a child's name: a bijection of the
// owner's child counter (modulo 27⁵), spread by the owner's uid, so that names
// never collide by chance.
func ChildSuffix(owner UID, counter uint64) string {
	s := sha256.Sum256([]byte(owner))
	off := uint64(s[0])<<16 | uint64(s[1])<<8 | uint64(s[2])
	n := (counter*suffixStep + off) % suffixes
	var b [suffixLen]byte
	for i := range b {
		b[i] = nameAlphabet[n%uint64(len(nameAlphabet))]
		n /= uint64(len(nameAlphabet))
	}
	return string(b[:])
}

// SafeEncode writes a string in the name alphabet, character for character, as
// Kubernetes does for template hashes.
func SafeEncode(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = nameAlphabet[int(b[i])%len(nameAlphabet)]
	}
	return string(b)
}
