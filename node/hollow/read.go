package hollow

import (
	"path"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// What a container would do can be read from its spec, where that says it in so many words: no process is needed to know
// that `sleep 5` ends after five seconds and `false` with code 1. What needs more than a look is not guessed at.

// readable is when a container would end by itself and with what code; false for one that goes on, or of which that cannot
// be read. Without a command it is the image's that runs, which nobody here has seen.
func readable(c *corev1.Container) (after time.Duration, code int, ok bool) {
	if len(c.Command) == 0 {
		return 0, 0, false
	}
	return command(append(append([]string(nil), c.Command...), c.Args...))
}

func command(words []string) (after time.Duration, code int, ok bool) {
	switch name := path.Base(words[0]); {
	case name == "true" || name == ":":
		return 0, 0, true
	case name == "false":
		return 0, 1, true
	case name == "sleep":
		after, ok = naps(words[1:])
		return after, 0, ok
	case (name == "sh" || name == "ash" || name == "bash") && len(words) >= 3 && words[1] == "-c":
		return script(words[2])
	}
	return 0, 0, false
}

// naps is how long a sleep takes: the sum of its words.
func naps(words []string) (sum time.Duration, ok bool) {
	for _, w := range words {
		if w != "" && strings.Trim(w[len(w)-1:], "0123456789") == "" {
			w += "s"
		}
		d, err := time.ParseDuration(w)
		if err != nil || d < 0 {
			return 0, false // "inf" among them
		}
		sum += d
	}
	return sum, len(words) > 0
}

// maxScript bounds the scripts that are looked at, in bytes.
const maxScript = 4096

// script reads statements one after the other, joined by ; or && or a line's end. Whatever has a meaning beyond that makes
// it unreadable: variables, pipes, groups, loops.
func script(text string) (after time.Duration, code int, ok bool) {
	if len(text) > maxScript {
		return 0, 0, false
	}
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		for i, one := range strings.Split(line, "&&") {
			if i > 0 && code != 0 {
				break
			}
			took, result, over, clear := statement(strings.Fields(one))
			if !clear || strings.ContainsAny(one, "$`|(){}&") {
				return 0, 0, false
			}
			after, code = after+took, result
			if over {
				return after, code, true
			}
		}
	}
	return after, code, true
}

// statement is how long one takes and how it ends; over says that the script ends with it.
func statement(words []string) (took time.Duration, code int, over, clear bool) {
	if len(words) == 0 {
		return 0, 0, false, true
	}
	switch words[0] {
	case "exit":
		if len(words) == 2 {
			code, err := strconv.Atoi(words[1])
			return 0, code & 0xff, true, err == nil
		}
		return 0, 0, true, false
	case "exec":
		if len(words) == 1 {
			return 0, 0, false, false
		}
		took, code, clear = command(words[1:])
		return took, code, true, clear
	case "echo", "printf", "date":
		return 0, 0, false, true
	}
	took, code, clear = command(words)
	return took, code, false, clear
}
