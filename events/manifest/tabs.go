package manifest

import "strings"

// heldTab stands for a tab in the midst of words while a document is parsed: the parser drops those in plain text without a
// word. YAML has no such character, so nobody can have meant it.
const heldTab = "\x01"

// holdTabs puts it in the place of the tabs that are text for sure, not between a key and its value, or before a comment.
func holdTabs(src string) string {
	if !strings.Contains(src, "\t") || strings.Contains(src, heldTab) {
		return src
	}
	var b strings.Builder
	for l := range strings.Lines(src) {
		held := []byte(l)
		for i := 0; i < len(l); i++ {
			if l[i] != '\t' {
				continue
			}
			end := i + len(l[i:]) - len(strings.TrimLeft(l[i:], " \t"))
			if c := inPlace(strings.TrimRight(l[:i], " "), strings.TrimRight(l[end:], " \t\r\n")); c != '\t' {
				for ; i < end; i++ {
					if held[i] == '\t' {
						held[i] = c
					}
				}
			}
			i = max(i, end) - 1
		}
		b.Write(held)
	}
	return b.String()
}

// inPlace is what the parser is to see of a tab between two parts of a line.
func inPlace(before, after string) byte {
	switch {
	case marks(before):
		return ' ' // where it wants one
	case inText(before, after):
		return heldTab[0]
	}
	return '\t'
}

// marks tells whether what a line begins with ends in an anchor or a tag, after which its value comes.
func marks(before string) bool {
	word := before[strings.LastIndexAny(before, " \t")+1:]
	lead := strings.TrimRight(before[:len(before)-len(word)], " \t")
	return word != "" && strings.ContainsAny(word[:1], "&!") && (lead == "" || strings.ContainsAny(lead[len(lead)-1:], ":-?,[{"))
}

// inText tells whether what stands between two parts of a line is in the midst of a text: not between a key and its value, nor
// before a comment, nor beside what separates values between brackets.
func inText(before, after string) bool {
	if strings.Trim(before, " \t-?") == "" || after == "" || after[0] == '#' || after[0] == ':' && (len(after) == 1 || after[1] == ' ') {
		return false
	}
	last := before[len(before)-1:]
	if strings.ContainsAny(before, "[{") && (strings.ContainsAny(after[:1], ",]}") || strings.ContainsAny(last, ",[{")) {
		return false
	}
	return last != ":"
}

// tabbed is a text as it was written.
func tabbed(s string) string { return strings.ReplaceAll(s, heldTab, "\t") }
