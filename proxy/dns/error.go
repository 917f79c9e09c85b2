package dns

import (
	"errors"
	"fmt"
)

// What went wrong, for errors.Is.
var (
	ErrNotFound = errors.New("name not found")        // no such name, or no record of any wanted type
	ErrServer   = errors.New("dns server failure")    // the nameservers refused, failed or answered nonsense
	ErrTimeout  = errors.New("dns query timed out")   // no nameserver answered in time
	ErrName     = errors.New("not a valid host name") // no name that could be asked for
	ErrClosed   = errors.New("resolver is closed")
)

// Error is a lookup that failed. Its text is Kong's.
type Error struct {
	Kind error  // one of the Err values
	Name string // the name that was looked for
	Text string

	silent bool // no nameserver answered at all
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }

// Kong: kong/resty/dns/client.lua clientErrors; "name error" and its like: resty/dns/resolver.lua resolver_errstrs
var (
	errNameError = &Error{Kind: ErrNotFound, Text: "dns server error: 3 name error"}
	errEmpty     = &Error{Kind: ErrNotFound, Text: "dns client error: 101 empty record received"}
	errBadIPv4   = &Error{Kind: ErrName, Text: "dns client error: 102 invalid name, bad IPv4"}
	errBadIPv6   = &Error{Kind: ErrName, Text: "dns client error: 103 invalid name, bad IPv6"}
	errBadName   = &Error{Kind: ErrName, Text: "dns client error: invalid name"}
	errRecursion = &Error{Kind: ErrServer, Text: "recursion detected"}
	errClosed    = &Error{Kind: ErrClosed, Text: "resolver is closed", silent: true}
)

// errorFor returns what e says about name.
func errorFor(name string, e *Error) *Error {
	named := *e
	named.Name = name
	return &named
}

// serverError is an answer with an error code.
func serverError(code int) *Error {
	text := "unknown"
	switch code {
	case 1:
		text = "format error"
	case 2:
		text = "server failure"
	case 3:
		return errNameError
	case 4:
		text = "not implemented"
	case 5:
		text = "refused"
	}
	return &Error{Kind: ErrServer, Text: fmt.Sprintf("dns server error: %d %s", code, text)}
}
