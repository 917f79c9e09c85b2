package queue

import (
	"bytes"
	"math"
	"testing"
)

func FuzzFrames(f *testing.F) {
	whole, _ := spans{n: 3, size: 200}.AppendFrames(nil)
	f.Add(whole, 3, 100, uint8(2))
	f.Add(whole[:len(whole)-1], 3, 300, uint8(2))
	f.Add([]byte("\x12\x00\x12\x80\x00"), 2, 3, uint8(1))
	f.Add([]byte("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 1, 10, uint8(1))
	f.Fuzz(func(t *testing.T, frames []byte, n, limit int, maxEntries uint8) {
		size := len(frames)
		kept, tooLarge, ok := checkFrames(bytes.Clone(frames), n, limit)
		if !ok {
			return
		}
		if len(kept) > size || tooLarge > n {
			t.Fatalf("kept %d of %d bytes, %d of %d too large", len(kept), size, tooLarge, n)
		}
		rest, found := kept, 0
		for len(rest) > 0 {
			cut, count := cutFrames(rest, int(maxEntries)+1, math.MaxInt)
			if cut == 0 || count == 0 || count > int(maxEntries)+1 {
				t.Fatalf("cut %d bytes, %d frames", cut, count)
			}
			rest = rest[cut:]
			found += count
		}
		if found != n-tooLarge {
			t.Fatalf("found %d frames, want %d", found, n-tooLarge)
		}
	})
}
