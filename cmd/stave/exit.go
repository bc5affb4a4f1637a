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

// Error is what kubectl prints; what is invalid has a line for each field.
func (e *statusError) Error() string {
	if e.Reason == "" { // a webhook's no
		return "Error from server: " + e.Message
	}
	if e.Reason != metav1.StatusReasonInvalid || e.Details == nil || len(e.Details.Causes) == 0 {
		return fmt.Sprintf("Error from server (%s): %s", e.Reason, e.Message)
	}
	var fields []string
	for _, c := range e.Details.Causes {
		if c.Field != "" { // a policy's no is about no field
			c.Message = c.Field + ": " + c.Message
		}
		fields = append(fields, c.Message)
	}
	said := fmt.Sprintf("The %s %q is invalid: ", e.Details.Kind, e.Details.Name)
	if len(fields) == 1 {
		return said + fields[0]
	}
	return said + "\n* " + strings.Join(fields, "\n* ")
}

// helped is an error with what to do about it, in a line below.
type helped struct {
	error
	help string
}

// Unwrap gives the error itself.
func (e helped) Unwrap() error { return e.error }

// stillWaiting is lost patience, with a line for each pod that is not ready.
type stillWaiting struct {
	error
	pods string
}

// Error implements error.
func (e stillWaiting) Error() string { return e.error.Error() + e.pods }

// Unwrap gives the error itself.
func (e stillWaiting) Unwrap() error { return e.error }

// goesOn is Ctrl-C while something goes on in the cluster all the same, or is left half done.
type goesOn struct {
	error
	what string
}

// Unwrap gives the error itself.
func (e goesOn) Unwrap() error { return e.error }

// brokenOff says what became of a command that somebody ended with Ctrl-C, and how to go on.
func brokenOff(err error, what string) error {
	if errors.Is(err, context.Canceled) {
		return goesOn{err, what}
	}
	return err
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
	if errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
		if exit.err != nil {
			printError(term, exit.err)
		}
		return exit.code
	}
	if errors.Is(err, context.Canceled) {
		var g goesOn
		if errors.As(err, &g) {
			fmt.Fprintln(term.err, g.what)
		}
		return exitCtrlC // who pressed it knows
	}
	printError(term, err)
	return exitFailed
}

func printError(term *terminal, err error) {
	if h, ok := err.(helped); ok {
		printError(term, h.error)
		if h.help != "" {
			fmt.Fprintln(term.err, "help: "+h.help)
		}
		return
	}
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
