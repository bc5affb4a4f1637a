package main

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
)

// tick is how often is told how far an area is.
const tick = 15 * time.Second

// meter passes on what ginkgo prints, and tells from it how far it is: a dot for each spec, and a line for each that
// failed, with its name in the next.
type meter struct {
	name  string
	total int
	to    io.Writer
	stop  chan struct{}

	mu           sync.Mutex
	line         []byte // the last one, as far as it is there
	before       int    // dots of the lines before it
	done, failed int
	told         int  // of done
	naming       bool // the next line names a spec that failed
}

func newMeter(name string, total int, to io.Writer) *meter {
	m := &meter{name: name, total: total, to: to, stop: make(chan struct{})}
	go m.tell()
	return m
}

func (m *meter) close() { close(m.stop) }

// tell says how far it is, while that changes.
func (m *meter) tell() {
	began := time.Now()
	for {
		select {
		case <-m.stop:
			return
		case <-time.After(tick):
		}
		m.mu.Lock()
		done, failed, news := m.done, m.failed, m.done != m.told
		m.told = done
		m.mu.Unlock()
		if news {
			say("%s: %d of %d, %d failed, after %s", m.name, done, m.total, failed, time.Since(began).Round(time.Second))
		}
	}
}

// Write implements io.Writer.
func (m *meter) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.line = append(m.line, b...)
	for {
		line, rest, whole := bytes.Cut(m.line, []byte("\n"))
		if !whole {
			m.done = m.before + dots(m.line)
			return m.to.Write(b)
		}
		m.before += dots(line)
		m.read(string(line))
		m.line = rest
	}
}

func dots(line []byte) int { return bytes.Count(line, []byte("•")) }

// read looks at a whole line.
func (m *meter) read(line string) {
	if m.naming {
		say("%s: failed: %s", m.name, strings.TrimSpace(line))
	}
	m.naming = false
	for _, end := range []string{"[FAILED]", "[PANICKED]", "[TIMEDOUT]", "[INTERRUPTED]"} {
		if strings.Contains(line, "• "+end) {
			m.failed++
			m.naming = true
		}
	}
}
