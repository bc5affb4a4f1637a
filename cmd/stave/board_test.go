package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// screen is as much of a terminal as a board needs: it wraps, and it knows five
// sequences.
type screen struct {
	columns  int
	rows     [][]rune
	row, col int
	cursor   bool
}

var sequence = regexp.MustCompile(`^\x1b\[(\?)?(\d*)([A-Za-z])`)

func (s *screen) Write(b []byte) (int, error) {
	for text := string(b); text != ""; {
		if m := sequence.FindStringSubmatch(text); m != nil {
			s.control(m[1] == "?", m[2], m[3])
			text = text[len(m[0]):]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		s.put(r)
	}
	return len(b), nil
}

func (s *screen) control(private bool, number, what string) {
	n, _ := strconv.Atoi(number)
	switch {
	case private && n == 25:
		s.cursor = what == "h"
	case private:
	case what == "A":
		s.row = max(0, s.row-n)
	case what == "K":
		s.line()
		s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
	case what == "J":
		s.control(false, "", "K")
		s.rows = s.rows[:s.row+1]
	}
}

func (s *screen) line() {
	for len(s.rows) <= s.row {
		s.rows = append(s.rows, nil)
	}
}

func (s *screen) put(r rune) {
	switch r {
	case '\r':
		s.col = 0
		return
	case '\n':
		s.row, s.col = s.row+1, 0
		s.line()
		return
	}
	if s.col == s.columns {
		s.row, s.col = s.row+1, 0
	}
	s.line()
	for len(s.rows[s.row]) <= s.col {
		s.rows[s.row] = append(s.rows[s.row], ' ')
	}
	s.rows[s.row][s.col] = r
	s.col++
}

// narrow breaks what is on the screen as a terminal does that gets fewer columns.
func (s *screen) narrow(columns int) {
	var rows [][]rune
	for i, r := range s.rows {
		if i == s.row {
			s.row = len(rows)
		}
		for len(r) > columns {
			rows, r = append(rows, slices.Clone(r[:columns])), slices.Clone(r[columns:])
		}
		rows = append(rows, r)
	}
	s.columns, s.rows = columns, rows
}

func (s *screen) String() string {
	var out []string
	for _, r := range s.rows {
		out = append(out, strings.TrimRight(string(r), " "))
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

func (s *screen) shows(t *testing.T, want ...string) {
	t.Helper()
	if have := s.String(); have != strings.Join(want, "\n") {
		t.Errorf("the screen shows\n%s\nwant\n%s", have, strings.Join(want, "\n"))
	}
}

func TestBoard(t *testing.T) {
	s := &screen{columns: 20, cursor: true}
	rows := 10
	b := &board{out: s, size: func() (int, int) { return s.columns, rows }}
	fmt.Fprintln(s, "$ stave apply")
	b.draw([]string{"one", "two", "a line that is longer than the window"})
	s.shows(t, "$ stave apply", "one", "two", "a line that is lon…")
	if s.cursor {
		t.Error("the cursor blinks in the middle")
	}
	b.draw([]string{"ONE", "2"})
	s.shows(t, "$ stave apply", "ONE", "2")
	before := s.String()
	b.draw([]string{"ONE", "2"})
	s.shows(t, before)

	// A narrower window has broken the lines; a wider one not.
	b.draw([]string{"0123456789abcdefgh", "x"})
	s.narrow(8)
	s.shows(t, "$ stave", "apply", "01234567", "89abcdef", "gh", "x")
	b.draw([]string{"0123456789abcdefgh", "y"})
	s.shows(t, "$ stave", "apply", "012345…", "y")
	s.columns = 40
	b.draw([]string{"0123456789abcdefgh", "z"})
	s.shows(t, "$ stave", "apply", "0123456789abcdefgh", "z")

	// Fewer rows than lines.
	rows = 4
	b.draw([]string{"1", "2", "3", "4", "5"})
	s.shows(t, "$ stave", "apply", "1", "2", "… and 3 lines more")

	b.clear()
	s.shows(t, "$ stave", "apply")
	fmt.Fprintln(s, "done")
	s.shows(t, "$ stave", "apply", "done")
	if !s.cursor {
		t.Error("the cursor is gone")
	}
	b.clear()
	s.shows(t, "$ stave", "apply", "done")
}

func TestBoardShowsNoControlCharacters(t *testing.T) {
	s := &screen{columns: 40}
	b := &board{out: s, size: func() (int, int) { return 40, 10 }}
	b.draw([]string{"the registry says \x1b[2J\nand\a moves on"})
	s.shows(t, "the registry says  [2J and  moves on")
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"short", 10, "short"}, {"exactly ten", 11, "exactly ten"}, {"a little longer", 8, "a littl…"}, {"日本語の文", 7, "日本語…"}, {"日本語", 6, "日本語"}, {"e\u0301e\u0301", 2, "e\u0301e\u0301"}, {"xy", 1, "…"},
	} {
		if have := cut(c.text, c.columns); have != c.want || columnsOf(have) > c.columns {
			t.Errorf("%q in %d columns is %q, want %q", c.text, c.columns, have, c.want)
		}
	}
	if have := cutMiddle("web-5bf99cd5dc-x2k9p", 12); have != "web-5…-x2k9p" {
		t.Errorf("a pod's name is cut to %q", have)
	}
}
