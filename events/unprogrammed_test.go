package events

import (
	"fmt"
	"testing"
)

func TestUnprogrammedMessage(t *testing.T) {
	all := []Unprogrammed{
		{"default/web", "node:30000/TCP is held by cluster two (shop/front)\nnode:30001/TCP is held by nginx (pid 7; old)"},
		{"shop/b", "dataplane tables are full"},
	}
	for i := range 200 {
		all = append(all, Unprogrammed{fmt.Sprintf("many/s%d", i), "dataplane tables are full"})
	}
	message := UnprogrammedMessage(all)
	for _, c := range []struct {
		service, why string
		named        bool
	}{
		{"default/web", "node:30000/TCP is held by cluster two (shop/front), node:30001/TCP is held by nginx (pid 7, old)", true},
		{"shop/b", "dataplane tables are full", true},
		{"many/s3", "dataplane tables are full", true},
		{"many/s90", "", true}, // named, and no more
		{"many/s150", "", false},
		{"shop/front", "", false}, // another cluster's
		{"default/we", "", false},
	} {
		if why, named := WhyUnprogrammed(message, c.service); why != c.why || named != c.named {
			t.Errorf("%s: %q, %v", c.service, why, named)
		}
	}
	if why, named := WhyUnprogrammed("1 not programmed, or not whole: default/web; the first: as older nodes said", "default/web"); why != "" || !named {
		t.Errorf("%q, %v", why, named)
	}
}
