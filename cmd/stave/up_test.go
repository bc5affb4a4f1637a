package main

import (
	"strings"
	"testing"
)

func TestUpNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := needRunc()
	if err == nil || !strings.Contains(err.Error(), "apt-get install runc") {
		t.Errorf("without runc: %v", err)
	}
}
