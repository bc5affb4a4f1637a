package plan

import "strings"

// expand replaces $(NAME) by its value as Kubernetes does: $$ is a dollar sign, a name without a value stays as it is.
func expand(s string, value func(name string) (string, bool)) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			return b.String() + s
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		switch s[0] {
		case '$':
			b.WriteByte('$')
			s = s[1:]
		case '(':
			name, rest, closed := strings.Cut(s[1:], ")")
			if !closed {
				return b.String() + "$" + s
			}
			if v, ok := value(name); ok {
				b.WriteString(v)
			} else {
				b.WriteString("$(" + name + ")")
			}
			s = rest
		default:
			b.WriteByte('$')
		}
	}
}

// tag is what an image's name says behind its last colon; "latest" when it says nothing, "" with a digest.
func tag(image string) string {
	if strings.Contains(image, "@") {
		return ""
	}
	_, t, ok := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	if !ok {
		return "latest"
	}
	return t
}
