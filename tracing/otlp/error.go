package otlp

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Error is a post that was not accepted, or not without a remark. Its text holds neither header values nor the endpoint's user information or
// query.
type Error struct {
	// Status is the receiver's answer, 0 when there was none.
	Status int

	text       string
	retryAfter string // the header, as it came
	at         time.Time
}

func (e *Error) Error() string { return e.text }

// Accepted reports whether the receiver has taken the records (but for those that Send says it has not) and the error is
// its remark on them.
func (e *Error) Accepted() bool { return e.Status/100 == 2 }

// Retryable reports whether the same records may be sent again: the connection failed or timed out, or the receiver said
// that it is only unwell. https://opentelemetry.io/docs/specs/otlp/#failures-1
func (e *Error) Retryable() bool {
	switch e.Status {
	case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// RetryAfter is how long the receiver asked to wait, if it did, in seconds or as a date.
func (e *Error) RetryAfter() (time.Duration, bool) {
	if e.retryAfter == "" || !e.Retryable() {
		return 0, false
	}
	if seconds, err := strconv.ParseUint(e.retryAfter, 10, 64); err == nil {
		const most = 1 << 31 // 68 years, so that a Duration holds it
		return time.Duration(min(seconds, most)) * time.Second, true
	}
	if date, err := http.ParseTime(e.retryAfter); err == nil {
		return max(date.Sub(e.at), 0), true
	}
	return 0, false
}

// statusError is the error for an answer that is not 2xx.
func statusError(signal Signal, host string, a *answer) *Error {
	text := fmt.Sprintf("post %s to %s: %d %s", signal.Records(), host, a.status, http.StatusText(a.status))
	if a.message != "" {
		text += ": " + a.message
	}
	return &Error{Status: a.status, text: text, retryAfter: a.retryAfter, at: a.at}
}
