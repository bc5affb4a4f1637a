package main

import (
	"encoding/json"
	"fmt"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// outcome is what became of one object, for programs that ask with -o json where
// there is no object to be printed any more.
type outcome struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Namespace  string     `json:"namespace,omitempty"`
	Name       string     `json:"name"`
	UID        events.UID `json:"uid,omitempty"`
	Outcome    string     `json:"outcome"`
	Seq        events.Seq `json:"seq,omitempty"`
}

// printOutcomes prints a list of them; refusals are not among them.
func (s *session) printOutcomes(f format, results []wire.Result) error {
	list := []outcome{}
	for _, r := range results {
		if r.Error != nil {
			continue
		}
		kind, _ := kindOf(r.Key.Resource)
		list = append(list, outcome{kind.APIVersion(), kind.Name, r.Key.Namespace, r.Key.Name, r.UID, r.Outcome, r.Seq})
	}
	doc, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode outcomes: %w", err)
	}
	return s.printDocument(f, doc)
}
