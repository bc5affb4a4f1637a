package cron

import (
	"compress/gzip"
	_ "embed" // the zones are a value
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// packed is Go's lib/time/zoneinfo.zip, which holds files by the names of zones as they are: as a whole it takes a quarter.
//
//go:embed zoneinfo.zip.gz
var packed string

// zones is what packed holds, for whoever asks for the first zone.
var zones = sync.OnceValues(func() (string, error) {
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("read time zones: %w", err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("read time zones: %w", err)
	}
	return string(raw), nil
})

// Zone finds a time zone by its name, "Europe/Berlin"; an empty one is UTC. The
// machine's own is none: it may be another one on each.
func Zone(name string) (*time.Location, error) {
	switch {
	case name == "" || name == "UTC":
		return time.UTC, nil
	case strings.EqualFold(name, "local"):
		return nil, errors.New("must be an explicit time zone as defined in https://www.iana.org/time-zones")
	}
	all, err := zones()
	if err != nil {
		return nil, err
	}
	data := file(all, name)
	if data == "" {
		return nil, fmt.Errorf("unknown time zone %s", name)
	}
	at, err := time.LoadLocationFromTZData(name, []byte(data))
	if err != nil {
		return nil, fmt.Errorf("read time zone %s: %w", name, err)
	}
	return at, nil
}

// The parts of a zip archive's list of files.
const (
	entrySign = "PK\x01\x02"
	entrySize = 46
	fileSize  = 30
)

// file reads a stored file out of an archive.
func file(archive, name string) string {
	for at := strings.Index(archive, entrySign); at >= 0 && at+entrySize <= len(archive) && archive[at:at+4] == entrySign; {
		e := archive[at:]
		half := func(i int) int { return int(binary.LittleEndian.Uint16([]byte(e[i : i+2]))) }
		word := func(i int) int { return int(binary.LittleEndian.Uint32([]byte(e[i : i+4]))) }
		if e[entrySize:entrySize+half(28)] == name {
			begin := word(42)
			head := archive[begin:]
			skip := fileSize + int(binary.LittleEndian.Uint16([]byte(head[26:28]))) + int(binary.LittleEndian.Uint16([]byte(head[28:30])))
			return head[skip : skip+word(24)]
		}
		at += entrySize + half(28) + half(30) + half(32)
	}
	return ""
}
