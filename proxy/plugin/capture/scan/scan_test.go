package scan

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plainly is Text byte by byte.
func plainly(text []byte) (blocks []Block, kinds Kinds) {
	blocks = make([]Block, len(text)/Size)
	for i, c := range text {
		at, bit := &blocks[i/Size], uint64(1)<<(i%Size)
		switch {
		case c == 0:
			kinds |= NUL
		case c == '=':
			kinds |= Equals
		case c == '<', c == '\\':
			kinds |= Special
		case c == 'B', c == 'J':
			kinds |= Sign
			at.Signs |= bit
		case c == ' ', c == '-', '0' <= c && c <= '9':
			at.Numbers |= bit
		case c == ':':
			kinds |= Colon
			at.Colons |= bit
		case c >= 0x80:
			kinds |= Beyond
		}
	}
	return blocks, kinds
}

func check(t *testing.T, text []byte) {
	t.Helper()
	text = text[:len(text)/Size*Size]
	want, kinds := plainly(text)
	for name, scan := range map[string]func([]Block, []byte) Kinds{"used": Text, "portable": portable} {
		got := make([]Block, len(want))
		if seen := scan(got, text); seen != kinds || !cmp.Equal(got, want) {
			t.Errorf("%q, %s: got %b, %v, want %b, %v", text, name, seen, got, kinds, want)
		}
	}
}

// TestText puts each byte at each place of some blocks.
func TestText(t *testing.T) {
	for c := range 256 {
		for at := range 2 * Size {
			text := bytes.Repeat([]byte("x"), 2*Size)
			text[at] = byte(c)
			check(t, text)
		}
	}
	room := make([]byte, 4*Size)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range room {
		for i := range room {
			room[i] = byte(random.Uint32())
		}
		check(t, room[n:])
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("\x00=<\\BJ -0189:;/ \x7f\x80\xff"))
	f.Add(bytes.Repeat([]byte(`{"id":12,"at":"2026-01-02T03:04:05Z","to":"é"}`), 9))
	f.Fuzz(check)
}

func BenchmarkText(b *testing.B) {
	text := bytes.Repeat([]byte(`{"id":1234567890`), 64)
	blocks := make([]Block, len(text)/Size)
	b.SetBytes(int64(len(text)))
	b.Run("used", func(b *testing.B) {
		for b.Loop() {
			Text(blocks, text)
		}
	})
	b.Run("portable", func(b *testing.B) {
		for b.Loop() {
			portable(blocks, text)
		}
	})
}
