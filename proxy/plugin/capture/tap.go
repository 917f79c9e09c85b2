package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"sidekong/tracing"
)

// sizes are those of the buffers that bodies are kept in.
var sizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, maxBody}

// buffers are pools of *[]byte, one for each of sizes.
var buffers [len(sizes)]sync.Pool

// budget bounds the bytes that the bodies of all requests under way take.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) <= b.limit {
		return true
	}
	b.used.Add(int64(-n))
	return false
}

// sink takes a body as it passes: its first bytes, its size and its digest.
type sink struct {
	budget *budget
	limit  int  // bytes that are kept; 0: none
	digest bool // sum it up

	*kind

	buffer  *[]byte // nil: nothing is kept yet
	class   int     // of buffer, in sizes
	kept    []byte  // in buffer
	size    int64
	sum     hash.Hash // of all so far; nil while kept has all
	refused bool      // there was no room
	whole   bool      // its end has been seen

	shown tracing.Value // what is recorded of it, where that is known already
}

// note takes the next piece of the body.
func (s *sink) note(piece []byte) {
	if len(piece) == 0 {
		return
	}
	complete := s.size == int64(len(s.kept))
	s.size += int64(len(piece))
	if room := s.limit - len(s.kept); complete && room > 0 && !s.refused {
		part := piece[:min(room, len(piece))]
		if s.grow(len(s.kept) + len(part)) {
			s.kept = append(s.kept, part...)
			if len(part) == len(piece) {
				return
			}
			if s.digest {
				s.sum = sha256.New()
				s.sum.Write(s.kept)
				s.sum.Write(piece[len(part):])
			}
			return
		}
	}
	if !s.digest {
		return
	}
	if s.sum == nil && complete {
		s.sum = sha256.New()
		s.sum.Write(s.kept)
	}
	s.sum.Write(piece)
}

// grow makes room for size bytes.
func (s *sink) grow(size int) bool {
	if s.buffer != nil && size <= cap(*s.buffer) {
		return true
	}
	class := 0
	for sizes[class] < size {
		class++
	}
	taken := 0
	if s.buffer != nil {
		taken = sizes[s.class]
	}
	if !s.budget.take(sizes[class] - taken) {
		s.refused = true
		return false
	}
	larger, ok := buffers[class].Get().(*[]byte)
	if !ok {
		made := make([]byte, 0, sizes[class])
		larger = &made
	}
	s.kept = append((*larger)[:0], s.kept...)
	if s.buffer != nil {
		buffers[s.class].Put(s.buffer)
	}
	s.buffer, s.class = larger, class
	return true
}

// release gives the buffer back.
func (s *sink) release() {
	if s.buffer != nil {
		buffers[s.class].Put(s.buffer)
		s.budget.used.Add(-int64(sizes[s.class]))
	}
	*s = sink{}
}

// sha256 is the digest of the body, in hexadecimal digits.
func (s *sink) sha256() string {
	if s.sum != nil {
		return hex.EncodeToString(s.sum.Sum(nil))
	}
	sum := sha256.Sum256(s.kept)
	return hex.EncodeToString(sum[:])
}

// tee is a request's body that goes to a sink as it is read. The reading may outlive the request, the sink does not.
type tee struct {
	io.ReadCloser
	mu sync.Mutex
	to *sink // nil: the request has ended
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.to != nil {
		t.to.note(p[:n])
		t.to.whole = t.to.whole || err == io.EOF
	}
	return n, err
}

// end is called when nothing more is to be noted.
func (t *tee) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.to = nil
}
