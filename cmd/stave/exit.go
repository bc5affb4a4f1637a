package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
)

// The exit codes of the CLI; exec and run pass the command's own on.
const (
	exitFailed = 1
	exitUsage  = 1 // kubectl's
	exitCtrlC  = 130
)

// exitError ends the process with a code; Err may be nil when everything has
// been said already.
type exitError struct {
	code int
	err  error
}

// Error implements error.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap gives the cause.
func (e *exitError) Unwrap() error { return e.err }

// statusError is a refusal by the server.
type statusError struct{ metav1.Status }

// Error is what kubectl prints: Invalid ones speak for themselves.
func (e *statusError) Error() string {
	if e.Reason == metav1.StatusReasonInvalid {
		return e.Message
	}
	return fmt.Sprintf("Error from server (%s): %s", e.Reason, e.Message)
}

func refused(s *metav1.Status) error {
	if s == nil {
		return nil
	}
	return &statusError{*s}
}

// report prints an error the way kubectl does and turns it into an exit code.
func report(term *terminal, err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			printError(term, exit.err)
		}
		return exit.code
	}
	if errors.Is(err, context.Canceled) {
		return exitCtrlC // who pressed it knows
	}
	printError(term, err)
	return exitFailed
}

func printError(term *terminal, err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok && err.Error() == errors.Join(many.Unwrap()...).Error() { // joined, not wrapped
		for _, e := range many.Unwrap() {
			printError(term, e)
		}
		return
	}
	var status *statusError
	if errors.As(err, &status) {
		fmt.Fprintln(term.err, status.Error())
		return
	}
	fmt.Fprintln(term.err, "error: "+explain(err))
}

// explain adds what to do to the errors whose cause is outside of Stave.
func explain(err error) string {
	switch {
	case errors.Is(err, bus.ErrUnreachable):
		return err.Error() + "\nhelp: is the cluster up? Start it with 'stave up', or choose another one with --context"
	case errors.Is(err, bus.ErrUnauthorized):
		return err.Error() + "\nhelp: the credential in your kubeconfig file is not this cluster's; 'stave up' writes a new entry"
	case errors.Is(err, bus.ErrNoServer):
		return err.Error() + "\nhelp: the server is there but does not decide yet; try again in a moment"
	case errors.Is(err, context.DeadlineExceeded):
		return strings.TrimSuffix(err.Error(), ": context deadline exceeded") + ": no answer in time\nhelp: --request-timeout gives it longer"
	}
	return err.Error()
}
