package events

import "encoding/json"

// ChangeAsked is appended before a wish that leads to more events than one append
// holds: from then on it is carried out to its end, whoever decides.
const ChangeAsked Type = "changes.asked"

// ChangeSubject holds what a wish leads to.
func ChangeSubject(id ChangeID) Subject { return Subject("log.change." + escape(string(id))) }

// Asked is a part of what a wish leads to; the parts are one append.
type Asked struct {
	Of   int      `json:"of"`   // how many events the whole wish leads to
	From int      `json:"from"` // which of them is the first here, counted from 0
	Then []Wanted `json:"then"`
}

// Wanted is an event that follows from a wish, as it was decided.
type Wanted struct {
	Subject Subject         `json:"subject"`
	Type    Type            `json:"type"`
	Op      OpID            `json:"op"`
	Body    json.RawMessage `json:"body"`
}
