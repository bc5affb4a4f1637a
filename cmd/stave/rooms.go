package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// rooms are what a process has open, closed in the reverse of the order in which
// they were opened.
type rooms struct {
	logger *slog.Logger
	failed chan error // what ended the process's work by itself
	closes []func() error
}

func newRooms(logger *slog.Logger) *rooms {
	return &rooms{logger: logger, failed: make(chan error, 8)}
}

func (r *rooms) onClose(f func() error) { r.closes = append(r.closes, f) }

// background runs a shell until the rooms are closed; its end by itself ends the
// process's work.
func (r *rooms) background(what string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			r.fail(fmt.Errorf("%s: %w", what, err))
		}
	}()
	r.onClose(func() error { cancel(); <-done; return nil })
}

func (r *rooms) fail(err error) {
	r.logger.Error("cluster fails", "err", err)
	select {
	case r.failed <- err:
	default:
	}
}

// close closes what is open, newest first. Containers and connections go on.
func (r *rooms) close() error {
	var errs []error
	for i := len(r.closes) - 1; i >= 0; i-- {
		if err := r.closes[i](); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	r.closes = nil
	return errors.Join(errs...)
}
