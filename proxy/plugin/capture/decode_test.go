package capture

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// encode compresses text by a content coding.
func encode(t testing.TB, coding, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "bare deflate":
		w, err = flate.NewWriter(&out, flate.BestSpeed)
	case "br":
		w = brotli.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDecode(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		text.WriteString(strings.Repeat("line ", i%7) + string(rune('a'+i*i%26)) + "\n")
	}
	whole := text.String()
	for _, coding := range []string{"gzip", "deflate", "bare deflate", "br", "zstd"} {
		t.Run(coding, func(t *testing.T) {
			header := strings.TrimPrefix(coding, "bare ")
			packed := encode(t, coding, whole)
			for range 2 { // the second decoder is one that was used before
				if got, cut, err := decode(nil, packed, header, len(whole)); string(got) != whole || cut || err != nil {
					t.Errorf("whole: %d bytes, cut %v, error %v", len(got), cut, err)
				}
				if got, cut, err := decode([]byte("x"), packed, strings.ToUpper(header), 100); string(got) != "x"+whole[:100] || !cut || err != nil {
					t.Errorf("limited: %q, cut %v, error %v", got, cut, err)
				}
			}
			for _, end := range []int{1, 5, 11, len(packed) / 2, len(packed) - 1} {
				got, cut, err := decode(nil, packed[:end], header, len(whole))
				if !strings.HasPrefix(whole, string(got)) || !cut || err != nil {
					t.Errorf("first %d of %d: %d bytes, cut %v, error %v", end, len(packed), len(got), cut, err)
				}
			}
			if got, _, err := decode(nil, []byte("no such thing at all, and long enough"), header, 1000); err == nil && header != "br" {
				t.Errorf("nonsense: %q", got)
			}
			bomb := encode(t, coding, strings.Repeat("\x00", 16<<20))
			if got, cut, err := decode(nil, bomb, header, 1<<20); len(got) != 1<<20 || cap(got) > 4<<20 || !cut || err != nil {
				t.Errorf("bomb of %d: %d bytes in %d, cut %v, error %v", len(bomb), len(got), cap(got), cut, err)
			}
		})
	}
	twice := encode(t, "br", string(encode(t, "gzip", whole)))
	if got, cut, err := decode(nil, twice, "gzip, br", len(whole)); string(got) != whole || cut || err != nil {
		t.Errorf("twice: %d bytes, cut %v, error %v", len(got), cut, err)
	}
	for _, coding := range []string{"compress", "gzip, x", "gzip,gzip,gzip,gzip"} {
		if got, _, err := decode(nil, encode(t, "gzip", whole), coding, len(whole)); err == nil {
			t.Errorf("%s: %.20q", coding, got)
		}
	}
	if got, cut, err := decode(nil, []byte(whole), "identity", len(whole)); string(got) != whole || cut || err != nil {
		t.Errorf("identity: %d bytes, cut %v, error %v", len(got), cut, err)
	}
	if got, cut, err := decode(nil, nil, "gzip", 10); len(got) != 0 || cut || err != nil {
		t.Errorf("nothing: %q, cut %v, error %v", got, cut, err)
	}
}

// FuzzDecode: no input panics, and none gives more than the limit.
func FuzzDecode(f *testing.F) {
	for _, coding := range []string{"gzip", "deflate", "bare deflate", "br", "zstd"} {
		f.Add(encode(f, coding, "some text, some text"), strings.TrimPrefix(coding, "bare "))
	}
	f.Fuzz(func(t *testing.T, in []byte, coding string) {
		const limit = 4096
		out, _, _ := decode(nil, in, coding, limit)
		if len(out) > limit {
			t.Errorf("%d bytes", len(out))
		}
	})
}
