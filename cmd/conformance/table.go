package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// row is a row of the table in docs/conformance.md: an area and how it went.
type row struct {
	area, labels, nodes string
	results             []result
}

// title is the row's first cell, by which it is found again.
func (r row) title() string {
	if r.labels == "Conformance" {
		return r.area
	}
	return r.area + " (`" + r.labels + "`)"
}

// String is the row in Markdown: area, nodes, run, passed, what failed and why.
func (r row) String() string {
	passed, ran := 0, 0
	for _, one := range r.results {
		if one.ran() {
			ran++
		}
		if one.passed() {
			passed++
		}
	}
	return strings.TrimSpace(fmt.Sprintf("| %s | %s | %d | %d | %s", r.title(), r.nodes, ran, passed, r.words())) + " |"
}

// words are the row's last cell: what failed and what did not run, in the words of known.go where it has some.
func (r row) words() string {
	var out []string
	for _, one := range r.results {
		if one.passed() {
			continue
		}
		text := known(one.name)
		if text == "" {
			text = "“" + one.name + "”: " + strings.Join(one.why, " ")
		}
		if !one.ran() {
			text = "not run: " + text
		}
		if text = cell(text); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, "; ")
}

// maxCell bounds what one spec may say in a table.
const maxCell = 400

// cell makes a text fit into a table's cell.
func cell(text string) string {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "|", "\\|")), " ")
	if runes := []rune(text); len(runes) > maxCell {
		text = string(runes[:maxCell]) + "…"
	}
	return text
}

// unknown are the specs that failed and about which known.go says nothing.
func (r row) unknown() []string {
	var out []string
	for _, one := range r.results {
		if one.failed() && known(one.name) == "" {
			out = append(out, one.name+"\n    "+strings.Join(one.why, "\n    "))
		}
	}
	return out
}

// keep writes how each spec went beside the logs.
func (r row) keep(dir string) error {
	type line struct {
		Spec, State string
		Why         []string `json:",omitempty"`
		Again       bool     `json:",omitempty"`
	}
	var lines []line
	for _, one := range r.results {
		l := line{Spec: one.name, State: one.state, Again: one.again}
		if !one.passed() {
			l.Why = one.why
		}
		lines = append(lines, l)
	}
	body, err := json.MarshalIndent(lines, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, r.area+".results.json"), append(body, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	return nil
}

// tableHead is the first line of the table that rows go into.
const tableHead = "| area | nodes | run | passed | failed, and why |"

// updateTable puts a row in the place of the one with its title, or at the end of the table.
func updateTable(file string, r row) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("update table: %w", err)
	}
	text, err := withRow(string(body), r)
	if err != nil {
		return fmt.Errorf("update table in %s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("update table: %w", err)
	}
	return nil
}

func withRow(text string, r row) (string, error) {
	lines := strings.Split(text, "\n")
	at := slices.Index(lines, tableHead)
	if at < 0 {
		return "", fmt.Errorf("no table with the head %q", tableHead)
	}
	for at += 2; at < len(lines) && strings.HasPrefix(lines[at], "|"); at++ {
		if strings.HasPrefix(lines[at], "| "+r.title()+" |") {
			lines[at] = r.String()
			return strings.Join(lines, "\n"), nil
		}
	}
	return strings.Join(slices.Insert(lines, at, r.String()), "\n"), nil
}
