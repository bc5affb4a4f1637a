package kube

import (
	"context"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"pgregory.net/rapid"
)

// A user who floods gets three quarters of the seats and a queue; who comes new has a
// seat at once, and later ones before the flood goes on.
func TestSeatsAreFair(t *testing.T) {
	s := newSeats(4, 2)
	take := func(user string) func() {
		t.Helper()
		release, err := s.take(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	flood := []func(){take("flood"), take("flood"), take("flood")}
	var order []string
	var mu sync.Mutex
	var waiting sync.WaitGroup
	queue := func(user string) {
		t.Helper()
		_, before := s.held()
		waiting.Go(func() {
			release, err := s.take(t.Context(), user)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, user)
			mu.Unlock()
			release()
		})
		for { // until it stands in the queue
			if _, now := s.held(); now > before {
				return
			}
		}
	}
	queue("flood")
	queue("flood")
	if _, err := s.take(t.Context(), "flood"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("beyond its queue: %v", err)
	}
	quiet := take("quiet")
	queue("other")
	flood[0]()
	waiting.Wait()
	if fmt.Sprint(order) != "[other flood flood]" {
		t.Errorf("seats were given in the order %v", order)
	}
	quiet()
	flood[1]()
	flood[2]()
	if taken, waiting := s.held(); taken != 0 || waiting != 0 || len(s.users) != 0 {
		t.Errorf("%d seats are taken, %d wait, %d users are known", taken, waiting, len(s.users))
	}
}

func TestWhoLeavesTheQueueIsForgotten(t *testing.T) {
	s := newSeats(1, 5)
	release, err := s.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, user := range []string{"a", "b"} {
		if _, err := s.take(ctx, user); !apierrors.IsTooManyRequests(err) {
			t.Errorf("%s: %v", user, err)
		}
	}
	release()
	release() // twice is once
	if taken, waiting := s.held(); taken != 0 || waiting != 0 || len(s.users) != 0 || len(s.lines) != 0 {
		t.Errorf("%d seats are taken, %d wait, %d users are known", taken, waiting, len(s.users))
	}
}

// settled waits until a request has a seat, is refused, or stands in the queue.
func settled(s *seats, before int, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		if _, now := s.held(); now > before {
			return
		}
		runtime.Gosched()
	}
}

// However users come and go: never more than all seats, never more than its share for
// one, no free seat while somebody waits who may have it, and nothing is left behind.
func TestSeatsAreNeverOvertaken(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSeats(rapid.IntRange(1, 6).Draw(rt, "all"), rapid.IntRange(0, 3).Draw(rt, "queued"))
		var all sync.WaitGroup
		var mu sync.Mutex
		var held []func()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "come") {
				user := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "user")
				done := make(chan struct{})
				_, before := s.held()
				all.Go(func() {
					defer close(done)
					release, err := s.take(rt.Context(), user)
					if err != nil {
						return
					}
					mu.Lock()
					held = append(held, release)
					mu.Unlock()
				})
				settled(s, before, done)
			} else {
				mu.Lock()
				var one func()
				if len(held) > 0 {
					one, held = held[0], held[1:]
				}
				mu.Unlock()
				if one != nil {
					one()
				}
			}
			s.mu.Lock()
			for _, u := range s.users {
				if u.taken > s.each {
					rt.Errorf("%s has %d seats of %d", u.user, u.taken, s.each)
				}
			}
			if next := s.next(); s.taken > s.all || s.taken < s.all && next != nil {
				rt.Errorf("%d of %d seats are taken while %v waits", s.taken, s.all, next)
			}
			s.mu.Unlock()
		}
		for {
			mu.Lock()
			now := held
			held = nil
			mu.Unlock()
			for _, release := range now {
				release()
			}
			if taken, waiting := s.held(); len(now) == 0 && taken == 0 && waiting == 0 {
				break
			}
		}
		all.Wait()
		mu.Lock()
		defer mu.Unlock()
		for _, release := range held {
			release()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.users) != 0 {
			rt.Errorf("%d users are known at the end", len(s.users))
		}
	})
}

// An API server that hangs holds up those who ask it, and nobody else.
func TestSeatsBeyond(t *testing.T) {
	l := newLimits()
	var all []func()
	for i := range maxPassed / 2 {
		release, err := l.takeBeyond(t.Context(), fmt.Sprint("user", i), "hangs")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, release)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.takeBeyond(ctx, "one more", "hangs"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("%v", err)
	}
	for _, user := range []string{"user0", "other"} {
		release, err := l.takeBeyond(t.Context(), user, "well")
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		release()
	}
	for _, release := range all {
		release()
	}
	if passed, _ := l.passed.held(); passed != 0 {
		t.Errorf("%d seats are left taken", passed)
	}
	if at, _ := l.beyond.held(); at != 0 {
		t.Errorf("%d seats are left taken", at)
	}
}

// Nobody gets a seat for what lasts by a word in the query, or by writing to a path of watches.
func TestWhatLasts(t *testing.T) {
	for request, want := range map[string]bool{
		"GET /api/v1/pods": false, "GET /api/v1/pods?follow=true": false, "POST /api/v1/namespaces/a/configmaps?follow=true": false, "POST /api/v1/namespaces/a/configmaps?watch=true": false,
		"GET /api/v1/pods?watch=true": true, "GET /api/v1/watch/pods": true, "POST /api/v1/watch/namespaces/a/pods": false, "GET /api/v1/namespaces/a/pods/p/log?follow=true": true,
		"GET /api/v1/namespaces/a/pods/p/log": true, "POST /api/v1/namespaces/a/pods/p/exec": true, "PUT /api/v1/namespaces/a/services/s/proxy/x": true, "GET /version?follow=true": false,
	} {
		method, path, _ := strings.Cut(request, " ")
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		i, err := infos.NewRequestInfo(r)
		if err != nil || isLong(i, r) != want {
			t.Errorf("%s: %v, %v", request, !want, err)
		}
	}
}
