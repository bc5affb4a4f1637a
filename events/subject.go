package events

import (
	"fmt"
	"strings"
)

// Subject is where in the log an event stands; each has one writer.
type Subject string

// clusterScope stands in for the namespace of cluster-wide resources.
const clusterScope = "="

// LeaseSubject is where whoever decides takes the lease.
const LeaseSubject Subject = "log.lease"

// CutSubject is where the janitor says that it has cut the log's beginning.
const CutSubject Subject = "log.cut"

// LogSubjects is the filter that covers every event.
const LogSubjects = "log.>"

// SpecSubject holds what an object should be.
func SpecSubject(k Key) Subject { return keySubject("log.spec.", k) }

// StatusSubject holds status that cannot be derived.
func StatusSubject(k Key) Subject { return keySubject("log.status.", k) }

// VerdictSubject holds why an object does not move.
func VerdictSubject(k Key) Subject { return keySubject("log.verdict.", k) }

// LiveSubject is the feed for people and programs that tap.
func LiveSubject(k Key) Subject { return keySubject("live.", k) }

// TemplateSubject holds a body by content.
func TemplateSubject(h Hash) Subject { return Subject("log.template." + string(h)) }

// AssignSubject holds what a node was given and what was taken from it.
func AssignSubject(node string) Subject { return Subject("log.assign." + escape(node)) }

// SeenSubject holds what a node saw; only that node writes it.
func SeenSubject(node string) Subject { return Subject("log.seen." + escape(node)) }

// NodeFeedSubject carries a node's changed desired rows.
func NodeFeedSubject(node string) Subject { return Subject("live.node." + escape(node)) }

// NetFeedSubject carries a service's changed network row to every node.
func NetFeedSubject(k Key) Subject { return keySubject("live.net.", k) }

// NoteSubjects is the filter that covers what clients write beside the log.
const NoteSubjects = "note.>"

// NoteSubject is where a client's object lies that is no part of the log.
func NoteSubject(k Key) Subject { return keySubject("note.", k) }

func keySubject(prefix string, k Key) Subject {
	ns := clusterScope
	if k.Namespace != "" {
		ns = escape(k.Namespace)
	}
	return Subject(prefix + escape(string(k.Resource)) + "." + ns + "." + escape(k.Name))
}

// Class is the second token of a log subject: spec, template, assign, seen,
// status, verdict, change, lease, or cut.
func (s Subject) Class() string {
	_, rest, _ := strings.Cut(string(s), ".")
	class, _, _ := strings.Cut(rest, ".")
	return class
}

// Key is the object that a spec, status, verdict, live or note subject is about.
func (s Subject) Key() (Key, error) {
	before, inside := 2, string(s) // tokens before the object's
	if strings.HasPrefix(inside, "live.") || strings.HasPrefix(inside, "note.") {
		before = 1
	}
	if strings.Count(inside, ".") != before+2 {
		return Key{}, fmt.Errorf("parse subject %q: no object in it", s)
	}
	for range before {
		_, inside, _ = strings.Cut(inside, ".")
	}
	res, inside, _ := strings.Cut(inside, ".")
	// The key outlives the event, whose subject may be a part of something larger.
	ns, name, _ := strings.Cut(strings.Clone(inside), ".")
	var k Key
	var err error
	if k.Resource, err = unescapeResource(res); err == nil && ns != clusterScope {
		k.Namespace, err = unescape(ns)
	}
	if err == nil {
		k.Name, err = unescape(name)
	}
	if err != nil {
		return Key{}, fmt.Errorf("parse subject %q: %w", s, err)
	}
	return k, nil
}

// unescapeResource is unescape that makes no second text of the resources that are known.
func unescapeResource(s string) (Resource, error) {
	if kind, ok := KindOf(Resource(s)); ok {
		return kind.Resource, nil
	}
	s, err := unescape(s)
	if kind, ok := KindOf(Resource(s)); ok {
		return kind.Resource, nil
	}
	return Resource(strings.Clone(s)), err
}

// Tail is the last token, unescaped: the node of an assign or seen subject,
// the hash of a template.
func (s Subject) Tail() (string, error) {
	t, err := unescape(strings.Clone(string(s)[strings.LastIndexByte(string(s), '.')+1:]))
	if err != nil {
		return "", fmt.Errorf("parse subject %q: %w", s, err)
	}
	return t, nil
}

const hexDigits = "0123456789abcdef"

// Token makes one subject token of any string, reversibly; Subject.Tail reads it.
func Token(s string) string { return escape(s) }

// escape makes one subject token of any string, reversibly: every byte outside
// [a-z0-9-] becomes "=" and two hex digits, the empty string a lone "=".
func escape(s string) string {
	if s == "" {
		return clusterScope
	}
	plain := 0
	for plain < len(s) && isPlain(s[plain]) {
		plain++
	}
	if plain == len(s) {
		return s // most are: every event and every heartbeat has some
	}
	var b strings.Builder
	b.WriteString(s[:plain])
	for i := plain; i < len(s); i++ {
		c := s[i]
		if isPlain(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('=')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

func isPlain(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }

func unescape(s string) (string, error) {
	if s == clusterScope {
		return "", nil
	}
	if strings.IndexByte(s, '=') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("token %q: cut off escape", s)
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("token %q: bad escape", s)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}
