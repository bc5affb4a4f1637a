// Package segment keeps sealed stretches of the log: files of compressed events
// with an index of the objects that they speak of, each chained to the one
// before it. What lies in them is read as it was, or refused by name.
package segment
