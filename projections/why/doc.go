// Package why explains: it follows causes through the log and says why an
// object is as it is, what it waits for, and what would help.
//
// It is pure. Whoever asks reads the log with a Filter and hands over what it
// kept.
package why
