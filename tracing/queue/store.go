package queue

import (
	"math"
	"sync"
)

// chunkSize is the memory in which frames wait. Larger runs of frames get a chunk of their own size.
const chunkSize = 256 << 10

// A chunk holds n whole frames in buf[off:].
type chunk struct {
	buf []byte
	off int
	n   int
}

func (c *chunk) frames() []byte { return c.buf[c.off:] }

var chunks = sync.Pool{New: func() any { return &chunk{buf: make([]byte, 0, chunkSize)} }}

// A store keeps waiting frames in memory, first in, first out. The zero value is empty. The queue's lock guards it.
type store struct {
	chunks []*chunk // oldest first; none is empty
	load
}

// A load is a number of frames and of their bytes.
type load struct {
	n     int
	bytes int64
}

func (l *load) move(to *load, n int, bytes int64) {
	l.n -= n
	l.bytes -= bytes
	to.n += n
	to.bytes += bytes
}

// takeAll empties the store into to.
func (s *store) takeAll(to *load) []*chunk {
	chunks := s.chunks
	s.chunks = nil
	s.move(to, s.n, s.bytes)
	return chunks
}

// putBack puts chunks before all others, from from.
func (s *store) putBack(chunks []*chunk, from *load) {
	s.chunks = append(chunks, s.chunks...)
	for _, c := range chunks {
		from.move(&s.load, c.n, int64(len(c.frames())))
	}
}

// push adds n frames at the end. It copies them.
func (s *store) push(frames []byte, n int) {
	last := len(s.chunks) - 1
	if last < 0 || cap(s.chunks[last].buf)-len(s.chunks[last].buf) < len(frames) {
		s.chunks = append(s.chunks, newChunk(len(frames)))
		last++
	}
	c := s.chunks[last]
	c.buf = append(c.buf, frames...)
	c.n += n
	s.n += n
	s.bytes += int64(len(frames))
}

// pop moves the oldest frames to the end of buf: at most maxEntries, at most maxBytes.
func (s *store) pop(buf []byte, maxEntries, maxBytes int) (out []byte, n int) {
	for len(s.chunks) > 0 && n < maxEntries {
		c := s.chunks[0]
		size, count := len(c.frames()), c.n
		if n+count > maxEntries || len(buf)+size > maxBytes {
			size, count = cutFrames(c.frames(), maxEntries-n, maxBytes-len(buf))
		}
		if count == 0 {
			break
		}
		buf = append(buf, c.frames()[:size]...)
		n += count
		s.consume(size, count)
	}
	return buf, n
}

// drop removes the oldest frames and gives their number: at least entries of them, and at least bytes bytes, as far
// as there are any.
func (s *store) drop(entries int, bytes int64) int {
	dropped := 0
	for len(s.chunks) > 0 && (dropped < entries || bytes > 0) {
		size, _ := cutFrames(s.chunks[0].frames(), 1, math.MaxInt)
		s.consume(size, 1)
		dropped++
		bytes -= int64(size)
	}
	return dropped
}

// consume removes the first size bytes, count frames, of the oldest chunk.
func (s *store) consume(size, count int) {
	c := s.chunks[0]
	c.off += size
	c.n -= count
	s.n -= count
	s.bytes -= int64(size)
	if c.n > 0 {
		return
	}
	copy(s.chunks, s.chunks[1:])
	s.chunks[len(s.chunks)-1] = nil
	s.chunks = s.chunks[:len(s.chunks)-1]
	c.recycle()
}

// recycle gives an empty chunk back.
func (c *chunk) recycle() {
	if cap(c.buf) == chunkSize {
		c.buf, c.off, c.n = c.buf[:0], 0, 0
		chunks.Put(c)
	}
}

func newChunk(size int) *chunk {
	if size > chunkSize {
		return &chunk{buf: make([]byte, 0, size)}
	}
	return chunks.Get().(*chunk)
}
