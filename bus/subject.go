package bus

import "strings"

// Matches tells whether a subject fits a pattern: "*" stands for one token, a
// last ">" for one or more.
func Matches(pattern, subject string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		s, restS, moreS := strings.Cut(subject, ".")
		switch {
		case p == ">" && !moreP:
			return subject != ""
		case p != "*" && p != s, moreP != moreS:
			return false
		case !moreP:
			return true
		}
		pattern, subject = restP, restS
	}
}

// Requester is the user in a request's subject: the token after "req.". It is ""
// for any other subject.
func Requester(subject string) string {
	rest, ok := strings.CutPrefix(subject, "req.")
	if !ok {
		return ""
	}
	user, _, _ := strings.Cut(rest, ".")
	return user
}
