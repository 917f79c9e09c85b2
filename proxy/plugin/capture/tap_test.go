package capture

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSink: whatever the pieces, it keeps the first bytes, the size and the digest of all, and gives back what it took.
func TestSink(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcde\n"), 20<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []int{0, 1, 4096, 5000, 1 << 20} {
		for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000, len(body)} {
			for _, room := range []int64{0, 20 << 10, 16 << 20} {
				b := budget{limit: room}
				s := sink{budget: &b, limit: limit, digest: true}
				for rest := body[:size]; len(rest) > 0; {
					n := min(len(rest), 1+random.IntN(9000))
					s.note(rest[:n])
					rest = rest[n:]
				}
				name := fmt.Sprintf("limit %d, size %d, room %d", limit, size, room)
				if got, want := s.sha256(), fmt.Sprintf("%x", sha256.Sum256(body[:size])); got != want || s.size != int64(size) {
					t.Errorf("%s: digest %s of %d bytes, want %s", name, got, s.size, want)
				}
				if want := min(limit, size); !s.refused && len(s.kept) != want || !bytes.Equal(s.kept, body[:len(s.kept)]) {
					t.Errorf("%s: %d bytes kept, want %d", name, len(s.kept), want)
				}
				if s.refused != (b.limit < 16<<20 && limit > 0 && size > len(s.kept) && len(s.kept) < limit) || b.used.Load() > b.limit {
					t.Errorf("%s: refused %v, %d bytes used", name, s.refused, b.used.Load())
				}
				if s.release(); b.used.Load() != 0 {
					t.Errorf("%s: %d bytes are not given back", name, b.used.Load())
				}
			}
		}
	}
}

// TestTeeOutlives: what is read after the end is passed on and not noted.
func TestTeeOutlives(t *testing.T) {
	b := budget{limit: 1 << 20}
	s := sink{budget: &b, limit: 100}
	body := &tee{ReadCloser: io.NopCloser(strings.NewReader("hello, world")), to: &s}
	first := make([]byte, 5)
	if _, err := io.ReadFull(body, first); err != nil {
		t.Fatal(err)
	}
	body.end()
	rest, err := io.ReadAll(body)
	if string(first)+string(rest) != "hello, world" || err != nil || string(s.kept) != "hello" || s.whole {
		t.Errorf("read %q and %q, error %v, kept %q, whole %v", first, rest, err, s.kept, s.whole)
	}
}

func BenchmarkText(b *testing.B) {
	for _, c := range []struct{ name, as, text string }{
		{"json", "application/json", benchJSON},
		{"secret", "application/json", strings.Replace(benchJSON, "next", "token", 1)},
		{"form", "application/x-www-form-urlencoded", strings.Repeat("name=value&other=12345&", 44)},
		{"text", "text/plain", strings.Repeat("x", 1024)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			var out []byte
			in := []byte(c.text)
			m := masker(&marks{}, false)
			m.paths = nil
			for b.Loop() {
				out = m.text(out[:0], in, c.as)
			}
		})
	}
}

// benchJSON is 1 KiB of what an API answers.
var benchJSON = func() string {
	item := `{"id":1234,"name":"Ann Example","email":"ann@example.test","active":true,"tags":["a","b"],"created_at":"2026-01-02T03:04:05Z"},`
	text := `{"kind":"person","items":[` + strings.Repeat(item, 7)
	text = text[:len(text)-1] + `],"next":"`
	return text + strings.Repeat("n", 1024-len(text)-2) + `"}`
}()

func BenchmarkNames(b *testing.B) {
	n := masker(nil, false).names
	for b.Loop() {
		secret(n, "created_at")
	}
}
