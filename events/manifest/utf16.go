package manifest

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// asUTF8 takes the mark off a file's beginning, by which some editors and shells of Windows say how they write, and makes
// UTF-8 of UTF-16, as kubectl does. A half of a pair, or of a character, becomes a byte that is not UTF-8: it is told where it is.
func asUTF8(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(data, []byte("\uFEFF"))
	}
	out := make([]byte, 0, len(data)/2)
	for data = data[2:]; len(data) > 1; data = data[2:] {
		r := rune(order.Uint16(data))
		switch {
		case !utf16.IsSurrogate(r):
			out = utf8.AppendRune(out, r)
		case len(data) > 3 && utf16.DecodeRune(r, rune(order.Uint16(data[2:]))) != utf8.RuneError:
			out = utf8.AppendRune(out, utf16.DecodeRune(r, rune(order.Uint16(data[2:]))))
			data = data[2:]
		default:
			out = append(out, 0xff)
		}
	}
	if len(data) == 1 {
		out = append(out, 0xff)
	}
	return out
}
