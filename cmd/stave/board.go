package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// What a terminal is told. Ones that do not know synchronised output ignore it.
const (
	beginFrame = "\x1b[?2026h\x1b[?25l" // show nothing before the end; no cursor
	endFrame   = "\x1b[?2026l"
	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
	showCursor = "\x1b[?25h"
)

// board is the part of a terminal that is drawn anew while something goes on.
// It is drawn over what was there, in one write, and never longer than the
// window: that neither flickers nor scrolls.
type board struct {
	out  io.Writer
	size func() (columns, rows int)

	drawn   []string // what is on the screen
	columns int      // of the window it was drawn in
}

// draw puts lines in the place of those drawn before.
func (b *board) draw(lines []string) {
	columns, rows := b.size()
	lines = fitted(lines, columns, rows)
	if columns == b.columns && strings.Join(lines, "\n") == strings.Join(b.drawn, "\n") {
		return
	}
	var s strings.Builder
	s.WriteString(beginFrame + b.home(columns))
	for _, l := range lines {
		s.WriteString(l + clearRight + "\n")
	}
	s.WriteString(clearBelow + endFrame)
	b.drawn, b.columns = lines, columns
	_, _ = io.WriteString(b.out, s.String()) // whoever owns out hears of its failure
}

// home leads to the first column of the first line drawn. A window that became
// narrower has broken lines into several rows.
func (b *board) home(columns int) string {
	rows := 0
	for _, l := range b.drawn {
		rows += max(1, (columnsOf(l)+columns-1)/columns)
	}
	if rows == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", rows)
}

// clear takes the board away and leaves the cursor where its first line was.
func (b *board) clear() {
	if b.columns == 0 {
		return // nothing was ever drawn
	}
	columns, _ := b.size()
	_, _ = io.WriteString(b.out, b.home(columns)+clearBelow+showCursor)
	b.drawn, b.columns = nil, 0
}

// fitted cuts lines to a window, one column short of its right edge, where some
// terminals wrap, and one row short of its height.
func fitted(lines []string, columns, rows int) []string {
	if most := max(1, rows-1); len(lines) > most {
		more := fmt.Sprintf("… and %d lines more", len(lines)-most+1)
		lines = append(append([]string(nil), lines[:most-1]...), more)
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = cut(plainText(l), max(1, columns-1))
	}
	return out
}

// plainText takes out what would move the cursor: messages come from registries
// and programs.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// cut shortens a text to so many columns, with an ellipsis.
func cut(s string, columns int) string {
	if columnsOf(s) <= columns {
		return s
	}
	used := 0
	for i, r := range s {
		if used += columnsOfRune(r); used > columns-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// cutMiddle shortens a name so that its end stays: it is what tells pods apart.
func cutMiddle(s string, columns int) string {
	r := []rune(s)
	if len(r) <= columns {
		return s
	}
	if columns < 4 {
		return cut(s, columns)
	}
	tail := min(columns/2, 6)
	return string(r[:columns-tail-1]) + "…" + string(r[len(r)-tail:])
}

func columnsOf(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOfRune(r)
	}
	return n
}

func columnsOfRune(r rune) int {
	switch k := width.LookupRune(r).Kind(); {
	case unicode.Is(unicode.Mn, r):
		return 0
	case k == width.EastAsianWide || k == width.EastAsianFullwidth:
		return 2
	}
	return 1
}
