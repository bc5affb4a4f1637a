package kube

import (
	"net/url"
	"testing"
)

// TestFlags has what a library of any language writes: that of Python says True and False.
func TestFlags(t *testing.T) {
	for text, want := range map[string]bool{"": false, "tty=1": true, "tty=true": true, "tty=True": true, "tty=": true, "tty": true, "tty=yes": true,
		"tty=0": false, "tty=false": false, "tty=False": false, "tty=FALSE": false, "stdin=1": false} {
		values, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := execOptions(values).TTY; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
