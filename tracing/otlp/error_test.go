package otlp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/x-protobuf", []byte("\x0a\x05\x08\x03\x12\x01x"), "")
	f.Add(200, "application/json", []byte(`{"partialSuccess":{"rejectedSpans":"3"}}`), "")
	f.Add(400, "application/x-protobuf", []byte("\x12\x06secret"), "")
	f.Add(503, "text/plain", []byte("secret\x00"), "120")
	f.Add(429, "", []byte(nil), "Fri, 31 Dec 1999 23:59:59 GMT")
	f.Add(429, "", []byte(nil), "99999999999999999999")
	t := &transport{secrets: newSecrets(Config{Headers: map[string]string{"A": "Bearer secret"}}, &url.URL{})}
	f.Fuzz(func(tt *testing.T, status int, kind string, body []byte, retryAfter string) {
		_, message := partialSuccess(kind, body)
		for _, text := range []string{t.harmless(message), t.harmless(statusMessage(kind, body))} {
			if strings.Contains(text, "secret") || utf8.RuneCountInString(text) > maxMessage+1 || strings.ContainsAny(text, "\x00\n\x1b") {
				tt.Errorf("not harmless: %q", text)
			}
		}
		e := statusError(Traces, "host", &answer{status: status, retryAfter: retryAfter, at: time.Now()})
		if wait, ok := e.RetryAfter(); wait < 0 || ok && !e.Retryable() || !ok && wait != 0 {
			tt.Errorf("retry after %q: %v, %v", retryAfter, wait, ok)
		}
		if e.Accepted() && e.Retryable() {
			tt.Error("accepted and retryable")
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Now()
	tests := []struct {
		header string
		want   time.Duration
		ok     bool
	}{
		{"", 0, false},
		{"0", 0, true},
		{"120", 2 * time.Minute, true},
		{"18446744073709551615", 1 << 31 * time.Second, true},
		{"99999999999999999999", 0, false},
		{"1.5", 0, false},
		{now.Add(time.Hour).UTC().Format(http.TimeFormat), time.Hour, true},
		{now.Add(time.Hour).UTC().Format(time.ANSIC), time.Hour, true},
		{now.Add(-time.Hour).UTC().Format(http.TimeFormat), 0, true},
		{"tomorrow", 0, false},
	}
	for _, test := range tests {
		e := statusError(Traces, "host", &answer{status: 503, retryAfter: test.header, at: now.Truncate(time.Second)})
		got, ok := e.RetryAfter()
		if got != test.want || ok != test.ok {
			t.Errorf("%q: got %v, %v, want %v, %v", test.header, got, ok, test.want, test.ok)
		}
	}
}
