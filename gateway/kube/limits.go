package kube

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/streaming/pkg/httpstream"
)

// How many requests are answered at a time. Reads cost the processor, so few of them
// at once cost no speed, and leave room for who comes new; writes wait for the disk
// together. No user has more than three quarters of the seats. Watches and streams
// hold nothing up, and have a bound of their own.
const (
	maxReads  = 32
	maxWrites = 200
	maxLong   = 20_000
	// maxPassed is how many requests wait for answers of API servers beside this one: half of them for one such server, so
	// that one which hangs holds up nobody else's.
	maxPassed = 400
	// maxQueued is how many requests of one user wait for a seat.
	maxQueued = 200
	// queueTime is how long one waits, as in Kubernetes.
	queueTime = 15 * time.Second
)

// limits keeps one client's flood from taking what the others need.
type limits struct{ reads, writes, long, passed, beyond *seats }

func newLimits() limits {
	return limits{newSeats(maxReads, maxQueued), newSeats(maxWrites, maxQueued), newSeats(maxLong, 0), newSeats(maxPassed, maxQueued),
		&seats{all: maxPassed, each: maxPassed / 2, queued: maxQueued, users: map[string]*sitting{}}}
}

// take counts a request in once there is a seat for its user, or says that there are
// too many.
func (l limits) take(ctx context.Context, user string, i *request.RequestInfo, r *http.Request, by *extension) (release func(), err error) {
	of := l.reads
	switch {
	case isLong(i, r), by != nil && httpstream.IsUpgradeRequest(r):
		of = l.long
	case by != nil:
		return l.takeBeyond(ctx, user, by.Name)
	case isWrite(r):
		of = l.writes
	}
	return of.take(ctx, user)
}

// takeBeyond is take for a request that somebody else answers.
func (l limits) takeBeyond(ctx context.Context, user, server string) (release func(), err error) {
	of, err := l.passed.take(ctx, user)
	if err != nil {
		return nil, err
	}
	at, err := l.beyond.take(ctx, server)
	if err != nil {
		of()
		return nil, err
	}
	return func() { at(); of() }, nil
}

// isWrite tells requests that may change something.
func isWrite(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// isLong tells requests that go on until somebody ends them.
func isLong(i *request.RequestInfo, r *http.Request) bool {
	switch i.Subresource {
	case "log", "exec", "attach", "portforward", proxying:
		return i.IsResourceRequest
	}
	return i.Verb == "watch" && !isWrite(r)
}

// seats are places for requests. A seat that becomes free goes to the user who has
// the fewest, and among those to who waited longest.
type seats struct {
	all, each, queued int // seats; those of one user; requests of one user that wait

	mu    sync.Mutex
	taken int
	users map[string]*sitting
	lines []*sitting // users with requests that wait, by when they began to
}

// sitting is one user's requests.
type sitting struct {
	user    string
	taken   int
	waiting []chan struct{} // each is closed when its seat is there
}

func newSeats(all, queued int) *seats {
	return &seats{all: all, each: all - all/4, queued: queued, users: map[string]*sitting{}}
}

func (s *seats) take(ctx context.Context, user string) (release func(), err error) {
	s.mu.Lock()
	u := s.users[user]
	if u == nil {
		u = &sitting{user: user}
		s.users[user] = u
	}
	switch {
	case s.taken < s.all && u.taken < s.each && len(u.waiting) == 0:
		s.taken++
		u.taken++
		s.mu.Unlock()
	case len(u.waiting) >= s.queued:
		s.drop(u)
		s.mu.Unlock()
		return nil, tooMany()
	default:
		mine := make(chan struct{})
		if u.waiting = append(u.waiting, mine); len(u.waiting) == 1 {
			s.lines = append(s.lines, u)
		}
		s.mu.Unlock()
		if err := s.await(ctx, u, mine); err != nil {
			return nil, err
		}
	}
	return sync.OnceFunc(func() { s.leave(u) }), nil
}

// await waits for a seat.
func (s *seats) await(ctx context.Context, u *sitting, mine chan struct{}) error {
	late := time.NewTimer(queueTime)
	defer late.Stop()
	select {
	case <-mine:
		return nil
	case <-late.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(u.waiting, mine)
	if i < 0 {
		return nil // it was given just now
	}
	u.waiting = slices.Delete(u.waiting, i, i+1)
	if len(u.waiting) == 0 {
		s.lines = slices.DeleteFunc(s.lines, func(x *sitting) bool { return x == u })
	}
	s.drop(u)
	return tooMany()
}

// leave gives a seat back, to whoever waits.
func (s *seats) leave(u *sitting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	u.taken--
	for s.taken < s.all {
		next := s.next()
		if next == nil {
			break
		}
		s.taken++
		next.taken++
		close(next.waiting[0])
		next.waiting = next.waiting[1:]
		s.lines = slices.DeleteFunc(s.lines, func(x *sitting) bool { return x == next })
		if len(next.waiting) > 0 {
			s.lines = append(s.lines, next) // behind those who have waited as long
		}
	}
	s.drop(u)
}

// next is whose turn it is; nil when nobody waits who may have more.
func (s *seats) next() *sitting {
	var best *sitting
	for _, u := range s.lines {
		if u.taken < s.each && (best == nil || u.taken < best.taken) {
			best = u
		}
	}
	return best
}

// drop forgets a user of whom there is nothing.
func (s *seats) drop(u *sitting) {
	if u.taken == 0 && len(u.waiting) == 0 && s.users[u.user] == u {
		delete(s.users, u.user)
	}
}

// held is how many seats are taken, and how many requests wait.
func (s *seats) held() (taken, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.lines {
		waiting += len(u.waiting)
	}
	return s.taken, waiting
}

func tooMany() error {
	return apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
}
