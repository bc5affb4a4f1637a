package manifest

import (
	"encoding/binary"
	"testing"
	"unicode/utf16"
)

// UTF-16 with its mark is read, in both orders; what is broken in it is told with line and column.
func TestUTF16(t *testing.T) {
	const yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: Grüße 🎵}\n"
	for name, order := range map[string]binary.AppendByteOrder{"\xff\xfe": binary.LittleEndian, "\xfe\xff": binary.BigEndian} {
		file := func(units []uint16) []byte {
			out := []byte(name)
			for _, u := range units {
				out = order.AppendUint16(out, u)
			}
			return out
		}
		whole := file(utf16.Encode([]rune(yaml)))
		docs, bad := Decode("f", whole)
		if len(bad) != 0 || len(docs) != 1 {
			t.Fatalf("%x: %v", name, bad)
		}
		plain, _ := Decode("f", []byte(yaml))
		if string(docs[0].JSON()) != string(plain[0].JSON()) {
			t.Errorf("%x: %s", name, docs[0].JSON())
		}
		for cut, data := range map[string][]byte{
			"f:2:3": file(append(utf16.Encode([]rune("a: b\nc:")), 0xd83c, ' ')), // half of a pair
			"f:2:4": append(file(utf16.Encode([]rune("a: b\nc: "))), 0),          // half of a character
		} {
			if _, bad := Decode("f", data); len(bad) != 1 || bad[0].Error() != cut+": not UTF-8 (save the file as UTF-8)" {
				t.Errorf("%x %s: %v", name, cut, bad)
			}
		}
	}
	if docs, bad := Decode("f", []byte("\xff\xfe")); len(docs)+len(bad) != 0 {
		t.Errorf("nothing: %v %v", docs, bad)
	}
}
