package queue

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The store against a plain list of spans, over random operations with spans from 8 bytes to more than a chunk.
func TestStoreAgainstAList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type span struct{ id, size int }
	var s store
	var model []span
	next := 0
	bytes := func(spans []span) (total int) {
		for _, sp := range spans {
			total += sp.size
		}
		return total
	}
	for range 3_000 {
		switch rng.IntN(8) {
		default:
			size := 8 + rng.IntN(400)
			if rng.IntN(200) == 0 {
				size = chunkSize + 1
			}
			frames, n := spans{first: next, n: 1 + rng.IntN(9), size: size}.AppendFrames(nil)
			s.push(frames, n)
			for range n {
				model = append(model, span{next, len(frames) / n})
				next++
			}
		case 0:
			maxEntries, maxBytes := 1+rng.IntN(60), 1<<rng.IntN(22)
			frames, n := s.pop(nil, maxEntries, maxBytes)
			want := 0
			for want < min(maxEntries, len(model)) && bytes(model[:want+1]) <= maxBytes {
				want++
			}
			got := ids(t, frames)
			if n != want || len(got) != want {
				t.Fatalf("pop(%d, %d): got %d, %d frames, want %d", maxEntries, maxBytes, n, len(got), want)
			}
			for i, id := range got {
				if id != model[i].id {
					t.Fatalf("pop: got %d at %d, want %d", id, i, model[i].id)
				}
			}
			model = model[want:]
		case 1:
			entries, size := rng.IntN(20)-5, rng.IntN(3000)-1000
			want := 0
			for want < len(model) && (want < entries || bytes(model[:want]) < size) {
				want++
			}
			if got := s.drop(entries, int64(size)); got != want {
				t.Fatalf("drop(%d, %d): got %d, want %d", entries, size, got, want)
			}
			model = model[want:]
		}
		if s.n != len(model) || s.bytes != int64(bytes(model)) {
			t.Fatalf("holds %d spans, %d bytes, want %d, %d", s.n, s.bytes, len(model), bytes(model))
		}
	}
}

// What the store's memory may be is a matter of what it holds, not of what went through it.
func TestStoreMemory(t *testing.T) {
	var s store
	frames, n := spans{n: 7, size: 300}.AppendFrames(nil)
	for range 20_000 {
		s.push(frames, n)
		s.drop(s.n-10_000, 0)
	}
	memory := 0
	for _, c := range s.chunks {
		memory += cap(c.buf)
	}
	if most := int(s.bytes) + 2*chunkSize + len(frames)*len(s.chunks); memory > most {
		t.Errorf("%d bytes of memory for %d, want %d at most", memory, s.bytes, most)
	}
	s.drop(s.n, 0)
	if diff := cmp.Diff(0, len(s.chunks)); diff != "" {
		t.Error("an empty store keeps chunks:", diff)
	}
}
