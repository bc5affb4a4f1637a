package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stave-run/stave/projections/table"
)

func TestTreeText(t *testing.T) {
	top := &table.Branch{Name: "Deployment/web", Ready: "1/2", Age: "5m", Left: 2, Branches: []*table.Branch{
		{Name: "ReplicaSet/web-7d9c6b8f4", Ready: "1/2", Branches: []*table.Branch{
			{Name: "Pod/web-7d9c6b8f4-x2k9p", Ready: "1/1", State: "Running, restarts 3 (2m ago)", Age: "5m", Branches: []*table.Branch{{Name: "container a", Ready: "1/1", State: "Running"}}},
			{Name: "Pod/web-7d9c6b8f4-zzzzz", Ready: "0/1", State: "Pending", Age: "5m"},
		}},
	}}
	raw, err := json.Marshal(top)
	if err != nil {
		t.Fatal(err)
	}
	got, err := treeText(raw, 0)
	want := `NAME                          READY   STATUS                         AGE
Deployment/web                1/2                                    5m
├─ReplicaSet/web-7d9c6b8f4    1/2
│ ├─Pod/web-7d9c6b8f4-x2k9p   1/1     Running, restarts 3 (2m ago)   5m
│ │ └─container a             1/1     Running
│ └─Pod/web-7d9c6b8f4-zzzzz   0/1     Pending                        5m
└─and 2 more
`
	if err != nil || got != want {
		t.Errorf("got\n%s\nwant\n%s\n%v", got, want, err)
	}
	for width, name := range map[int]string{76: "│ ├─Pod/web-7d9c6b8f4-x2k9p   1/1     Running, restarts 3", 50: "│ ├─Pod/web-…9c6b8f4-x2k9p   1/1     Running   5m", 46: "│ ├─Pod/we…6b8f4-x2k9p   1/1     Running   5m"} {
		got, err := treeText(raw, width)
		if err != nil || !strings.Contains(got, name) {
			t.Errorf("%d wide:\n%s\n%v", width, got, err)
		}
		for line := range strings.Lines(got) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("%d wide, %d are too many: %s", width, n, line)
			}
		}
	}
	older := strings.ReplaceAll(string(raw), `"5m"`, `"6m"`)
	if withoutAges(raw) != withoutAges([]byte(older)) || withoutAges(raw) == withoutAges([]byte(strings.ReplaceAll(older, "Pending", "Running"))) {
		t.Error("a tree changes by its states, not by its ages")
	}
}
