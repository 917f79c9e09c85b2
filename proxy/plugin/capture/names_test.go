package capture

import (
	"net/http"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	n := testNames()
	for name, want := range map[string]bool{
		"password": true, "PASSWORD": true, "user_password_hash": true, "newPassword": true, "pass_word": true, "passw": false,
		"token": true, "X-Auth-Token": true, "tokens": false, "max_tokens": false, "Max-Tokens": false, "csrftoken": true,
		"api_key": true, "apiKey": true, "X-API-Key": true, "key": false, "Set-Cookie": true, "authorization": true, "author": false,
		"pin": true, "PIN": true, "user[pin]": true, "userPin": true, "shipping": false, "spin": false, "pins": false, "pin2": false,
		"x-my-key": true, "XMYKEY": true, "my-key": false, "secretary": false, "": false, "ü": false, "üpwd": true, "auth": true, "oauth": false,
		strings.Repeat("a", 1000) + "secret": true, "secret" + strings.Repeat("-", 1000): true,
	} {
		if got := secret(n, name); got != want {
			t.Errorf("%.40q: got %v, want %v", name, got, want)
		}
		if got := secret(n, []byte(name)); got != want {
			t.Errorf("%.40q as bytes: got %v, want %v", name, got, want)
		}
	}
}

// TestNamesAlone: the automaton finds each name that it looks for, alone and within another.
func TestNamesAlone(t *testing.T) {
	n := testNames()
	for _, name := range secretNames {
		for _, in := range []string{name, strings.ToUpper(name), "x_" + name, name + "-y", "x." + name + ".y"} {
			if !secret(n, in) {
				t.Errorf("%s is not found in %s", name, in)
			}
		}
	}
}

func BenchmarkHeaders(b *testing.B) {
	header := http.Header{
		"Accept": {"application/json"}, "Authorization": {"Bearer abcdefgh"}, "Content-Type": {"application/json"},
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64)"}, "X-Request-Id": {"0123456789abcdef"},
	}
	m := masker(&marks{}, false)
	var known layouts
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = m.headers(out[:0], header, nil, &known)
	}
}
