package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
)

// frameTime is how often the board is looked at; it is drawn when it differs.
const frameTime = 100 * time.Millisecond

// progress shows what is waited for: a tree on a terminal, where what is done
// collapses, or a line for each step where plain is set.
type progress struct {
	s     *session
	board *board // nil: not a terminal, or nothing shall be seen
	plain bool   // print steps as lines on standard error
	stop  func() // set while the board is drawn
	now   func() time.Time

	mu       sync.Mutex
	branches []*branch
	pulls    map[pull]wire.Pulling
}

// pull is an image that a node fetches.
type pull struct{ node, image string }

// branch is an object that is waited for.
type branch struct {
	title  string
	state  string
	began  time.Time
	ended  bool
	leaves []leaf
	waits  pull // of a pod that stands for itself
}

// newProgress shows steps as lines where that is asked for and there is no terminal.
func (s *session) newProgress(plain bool) *progress {
	p := &progress{s: s, now: time.Now, pulls: map[pull]wire.Pulling{}, stop: func() {}}
	switch {
	case s.Quiet:
	case s.redraws():
		p.board = &board{out: s.out, size: s.windowNow}
	default:
		p.plain = plain
	}
	return p
}

// redraws tells whether standard output is a terminal that can be drawn on.
func (s *session) redraws() bool { return s.tty && os.Getenv("TERM") != "dumb" }

// windowNow is the present size of the window: people change it.
func (s *session) windowNow() (columns, rows int) {
	if w, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 && h > 0 {
		return w, h
	}
	return s.width, 24
}

// begin draws from now on until end.
func (p *progress) begin() {
	if p.board == nil {
		return
	}
	unsubscribe, err := p.s.wires.Subscribe(wire.PullSubjects, p.pulling)
	if err != nil {
		unsubscribe = func() {} // then there are no bytes to be seen
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(frameTime)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				p.board.draw(p.lines())
			}
		}
	}()
	p.stop = sync.OnceFunc(func() {
		close(done)
		<-stopped
		unsubscribe()
		p.board.clear()
	})
}

// end takes the board away; what is printed afterwards stands in its place.
func (p *progress) end() { p.stop() }

func (p *progress) pulling(m bus.Message) {
	var at wire.Pulling
	if json.Unmarshal(m.Body, &at) != nil {
		return // it is only for show
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulls[pull{at.Node, at.Image}] = at
}

// branch adds an object that is waited for.
func (p *progress) branch(title string) *branch {
	b := &branch{title: title, began: p.now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.branches = append(p.branches, b)
	return b
}

// state says where an object is.
func (p *progress) state(b *branch, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.state == state {
		return
	}
	b.state = state
	p.tell(b.title, state)
}

// image notes what an object without leaves waits for.
func (p *progress) image(b *branch, l leaf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.waits = pull{l.node, l.image}
}

// leaves says where an object's pods are.
func (p *progress) leaves(b *branch, leaves []leaf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := make(map[string]leaf, len(b.leaves))
	for _, l := range b.leaves {
		before[l.name] = l
	}
	for i, l := range leaves {
		leaves[i].began = p.now()
		if old, ok := before[l.name]; ok && old.state == l.state {
			leaves[i].began = old.began
			continue
		}
		p.tell(b.title+": "+l.name, l.state)
	}
	b.leaves = leaves
}

// ended collapses a branch.
func (p *progress) ended(b *branch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.ended = true
}

func (p *progress) tell(what, state string) {
	if p.plain && state != "" {
		fmt.Fprintf(p.s.err, "%s: %s\n", what, plainText(state))
	}
}

// maxLeaves is how many pods of one object are shown; what does not go well comes first.
const maxLeaves = 10

// lines are the tree as it is now.
func (p *progress) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	columns, _ := p.board.size()
	var out []string
	done := 0
	for _, b := range p.branches {
		if b.ended {
			done++
			continue
		}
		state := b.state
		if at, ok := p.pulls[b.waits]; ok {
			state = bytesOf(at)
		}
		out = append(out, row("", b.title, state, p.now().Sub(b.began), columns))
		out = append(out, p.below(b, columns)...)
	}
	if done > 0 {
		out = append(out, fmt.Sprintf("%d of %d done", done, len(p.branches)))
	}
	return out
}

func (p *progress) below(b *branch, columns int) []string {
	leaves := slices.Clone(b.leaves)
	slices.SortStableFunc(leaves, func(a, b leaf) int { return b.rank() - a.rank() })
	var out []string
	for i, l := range leaves {
		if i == maxLeaves {
			return append(out, fmt.Sprintf("  … and %d more", len(leaves)-i))
		}
		state := l.state
		if at, ok := p.pulls[pull{l.node, l.image}]; ok && l.image != "" {
			state = bytesOf(at)
		}
		out = append(out, row("  ", l.name, state, p.now().Sub(l.began), columns))
	}
	return out
}

// row is a line of the tree: name, state and for how long. A narrow window takes
// from the name first, then from the end.
func row(indent, name, state string, long time.Duration, columns int) string {
	name = cutMiddle(name, max(8, columns*2/5))
	if columns < 40 {
		return fmt.Sprintf("%s%s %s", indent, name, state)
	}
	seconds := fmt.Sprintf(" %ds", int(long.Seconds()))
	return cut(plainText(fmt.Sprintf("%s%s  %s", indent, name, state)), columns-1-len(seconds)) + seconds
}

// bytesOf is how far a pull is: "pulling nginx:alpine 3.1/18.9 MB".
func bytesOf(at wire.Pulling) string {
	const mega = 1e6
	switch {
	case at.Total == 0:
		return "pulling " + at.Image
	case at.Done >= at.Total:
		return fmt.Sprintf("unpacking %s, %.1f MB", at.Image, float64(at.Total)/mega)
	}
	return fmt.Sprintf("pulling %s %.1f/%.1f MB", at.Image, float64(at.Done)/mega, float64(at.Total)/mega)
}
