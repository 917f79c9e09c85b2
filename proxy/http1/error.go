package http1

import (
	"context"
	"errors"
	"net"
	"os"
)

// Phase is the part of a request in which it failed.
type Phase string

const (
	Prepare Phase = "prepare request"   // the request cannot be sent as it is: the caller's fault
	Body    Phase = "read request body" // the request's own body failed or did not have its declared length
	Connect Phase = "connect"
	Write   Phase = "write request"
	Read    Phase = "read answer" // headers or body
)

// Error says in which phase a request failed and why. Read errors of an answer's
// body are Errors too. It is a [net.Error].
type Error struct {
	Phase Phase
	Err   error
}

func (e *Error) Error() string { return string(e.Phase) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Timeout says whether the time of the phase ran out.
func (e *Error) Timeout() bool {
	if errors.Is(e.Err, os.ErrDeadlineExceeded) || errors.Is(e.Err, context.DeadlineExceeded) {
		return true
	}
	var ne net.Error
	return errors.As(e.Err, &ne) && ne.Timeout()
}

// Temporary is there because [net.Error] wants it.
func (e *Error) Temporary() bool { return e.Timeout() }

var _ net.Error = (*Error)(nil)

var (
	// ErrHeaderTooLarge is the cause of an Error of phase Read where the head of
	// an answer exceeded Transport.MaxResponseHeaderBytes.
	ErrHeaderTooLarge = errors.New("answer's headers exceed the limit")

	errBodyClosed    = errors.New("http1: read on closed answer body")
	errEarlyUpgrade  = errors.New("upstream switched protocols before it had the request")
	errNothingToRead = errors.New("connection closed before an answer")
)
