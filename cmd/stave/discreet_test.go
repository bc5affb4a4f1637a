package main

import (
	"strings"
	"testing"
)

func TestCommandLinesDoNotTellSecrets(t *testing.T) {
	for _, c := range [][2]string{
		{"create secret generic db --from-literal=password=hunter2 -m why", "create secret generic db --from-literal=password=… -m why"},
		{"create secret generic db --from-literal password=hunter2", "create secret generic db --from-literal password=…"},
		{"create secret docker-registry r --docker-username=a --docker-password=hunter2", "create secret docker-registry r --docker-username=a --docker-password=…"},
		{"patch secret/db -p {stringData:{password:hunter2}}", "patch secret/db -p …"},
		{"patch secrets db -p{stringData:{password:hunter2}}", "patch secrets db -p…"},
		{"patch cm/db,secret/db --patch={data:hunter2}", "patch cm/db,secret/db --patch=…"},
		{"create configmap db --from-literal=colour=blue", "create configmap db --from-literal=colour=blue"},
	} {
		if got := strings.Join(discreet(strings.Fields(c[0])), " "); got != c[1] {
			t.Errorf("%s\n is kept as %s\n        not %s", c[0], got, c[1])
		}
	}
}
