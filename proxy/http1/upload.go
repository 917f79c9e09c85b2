package http1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// upload is a body that leaves on a goroutine of its own while the exchange reads
// the answer: either side of an upstream may block until the other is served.
type upload struct {
	done chan struct{} // closed at the end; err and sent are valid then
	err  *Error
	sent time.Duration // when the last byte had left
}

// uploadGrace is how long the end of an exchange waits for its upload.
const uploadGrace = 50 * time.Millisecond

const uploadBufferSize = 32 << 10

var uploadBuffers = sync.Pool{New: func() any { return new([uploadBufferSize]byte) }}

// startUpload sends the body on c and closes it. Where the body or its time fails
// the connection is closed, so that neither upstream nor reader wait on; where the
// upstream stopped reading, its answer may still be there to read.
func startUpload(c *conn, m *message, req *http.Request) *upload {
	u := &upload{done: make(chan struct{})}
	c.setUploading(true)
	body, length, chunked := m.body, m.length, m.chunked // m is reused when Do returns
	go func() {
		if chunked {
			u.err = writeChunked(c, body, req)
		} else {
			u.err = writeDeclared(c, body, length)
		}
		u.sent = clock()
		if err := req.Body.Close(); err != nil && u.err == nil {
			u.err = &Error{Phase: Body, Err: err}
		}
		c.setUploading(false)
		fatal := u.err != nil && (u.err.Phase == Body || u.err.Timeout())
		if !fatal {
			_ = c.armRead() // an error here is the reader's next error
		}
		close(u.done)
		if fatal {
			c.abort()
		}
	}()
	return u
}

// ended says whether the upload is over, after waiting for it at most grace.
func (u *upload) ended(grace time.Duration) bool {
	select {
	case <-u.done:
		return true
	default:
	}
	if grace == 0 {
		return false
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-u.done:
		return true
	case <-timer.C:
		return false
	}
}

// writeDeclared sends exactly length bytes. Bytes beyond them never leave.
func writeDeclared(c *conn, body io.Reader, length int64) *Error {
	buf := uploadBuffers.Get().(*[uploadBufferSize]byte)
	defer uploadBuffers.Put(buf)
	left := length
	for {
		n, err := body.Read(buf[:])
		if int64(n) > left {
			return &Error{Phase: Body, Err: lengthError(length, length+1)}
		}
		left -= int64(n)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return &Error{Phase: Write, Err: err}
			}
		}
		switch {
		case err == io.EOF && left > 0:
			return &Error{Phase: Body, Err: lengthError(length, length-left)}
		case err == io.EOF:
			return nil
		case err != nil:
			return &Error{Phase: Body, Err: err}
		}
	}
}

// Room around a chunk: at most four hex digits, twice CRLF, and the last chunk.
const (
	chunkHead = 4 + 2
	chunkTail = 2 + len("0\r\n\r\n")
)

// writeChunked sends each read as a chunk at once, since what is read may be all there
// is for a while.
func writeChunked(c *conn, body io.Reader, req *http.Request) *Error {
	buf := uploadBuffers.Get().(*[uploadBufferSize]byte)
	defer uploadBuffers.Put(buf)
	for {
		n, err := body.Read(buf[chunkHead : uploadBufferSize-chunkTail])
		if err != nil && err != io.EOF {
			return &Error{Phase: Body, Err: err}
		}
		b := buf[chunkHead : chunkHead+n]
		if n > 0 {
			b = frameChunk(buf, n)
		}
		if err == io.EOF {
			b = append(b, "0\r\n"...)
			// Trailers are complete now and not earlier.
			if b, err = appendTrailers(b, req.Trailer); err != nil {
				return &Error{Phase: Body, Err: err}
			}
			b = append(b, "\r\n"...)
			err = io.EOF
		}
		if len(b) > 0 {
			if _, err := c.Write(b); err != nil {
				return &Error{Phase: Write, Err: err}
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// frameChunk writes the size before and CRLF after the n bytes at chunkHead.
func frameChunk(buf *[uploadBufferSize]byte, n int) []byte {
	var digits [4]byte
	hex.Encode(digits[:], []byte{byte(n >> 8), byte(n)})
	skip := 0
	for digits[skip] == '0' {
		skip++
	}
	copy(buf[skip:], digits[skip:])
	copy(buf[4:], "\r\n")
	copy(buf[chunkHead+n:], "\r\n")
	return buf[skip : chunkHead+n+2]
}

func appendTrailers(b []byte, trailer http.Header) ([]byte, error) {
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		if !httpguts.ValidHeaderFieldName(name) {
			return b, errors.New("invalid trailer name")
		}
		for _, v := range trailer[name] {
			if !validValue(v) {
				return b, fmt.Errorf("invalid value of trailer %q", name)
			}
			b = appendField(b, name, strings.Trim(v, " \t"))
		}
	}
	return b, nil
}
